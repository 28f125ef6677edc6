"""Sign-up and sign-in: triggers and options."""

from functools import cache
from typing import Any

from firebase_functions import https_fn, identity_fn, options, tasks_fn

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import Group, defaults
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import MailSettings
from astra.runtime.task_queue import Queue

from signup import blocking, enrolment, profile
from signup import unlock as signup_unlock
from signup.settings import SignInSettings, SignupSettings

defaults(cpu=0.3, concurrency=1, max_instances=20)
SIGN_IN = Group("signin-functions", SignInSettings)
SIGNUP = Group("signup-functions", SignupSettings)
CODES = Group("codes-functions", MailSettings)
# Auth waits for 7 seconds, and then lets nobody in: one instance is always there.
PROMPT = {"cpu": 1, "concurrency": 4, "min_instances": 1}
#: Guesses at somebody's code: where they can't be counted, none is allowed.
GUESSES = Limit(10, fails_closed=True)


@cache
def queue() -> Queue:
    return Queue(SIGNUP.platform, "sendcode")


def asked(event: identity_fn.AuthBlockingEvent) -> blocking.Asked:
    user = event.data
    role = (user.custom_claims or {}).get("role")
    return blocking.Asked(user.uid, user.email, event.ip_address, role)


@callables.on_call(SIGNUP, enrolment.StartSignup, Limit(60))
def start_signup(call: Call[enrolment.StartSignup]) -> Answer:
    return enrolment.start_signup(SIGNUP.platform, call)


@identity_fn.before_user_created(**SIGN_IN.options(**PROMPT))
@SIGN_IN.serves
def before_create(event: identity_fn.AuthBlockingEvent) -> None:
    blocking.before_create(SIGN_IN.platform, asked(event))


@identity_fn.before_user_signed_in(**SIGN_IN.options(**PROMPT))
@SIGN_IN.serves
def before_sign_in(event: identity_fn.AuthBlockingEvent) -> None:
    blocking.before_sign_in(SIGN_IN.platform, asked(event))


@callables.on_call(SIGNUP, profile.UpdateProfile, Limit(30))
def update_profile(call: Call[profile.UpdateProfile]) -> Answer:
    return profile.update_profile(SIGNUP.platform, call)


# After a new version everybody accepts at once.
@callables.on_call(SIGNUP, profile.AcceptPolicy, Limit(30), cpu=1, concurrency=4)
def accept_policy(call: Call[profile.AcceptPolicy]) -> Answer:
    return profile.accept_policy(SIGNUP.platform, call)


@callables.on_call(SIGNUP, profile.SetIpLock, Limit(30))
def set_ip_lock(call: Call[profile.SetIpLock]) -> Answer:
    return profile.set_ip_lock(SIGNUP.platform, call)


@callables.on_call(SIGNUP, signup_unlock.SendCode, GUESSES)
def send_code(call: Call[signup_unlock.SendCode]) -> Answer:
    return signup_unlock.send_code(SIGNUP.platform, queue(), call)


@tasks_fn.on_task_dispatched(**CODES.options(retry_config=options.RetryConfig(max_attempts=5, min_backoff_seconds=5)))
@CODES.serves
def sendcode(request: https_fn.CallableRequest[Any]) -> None:
    signup_unlock.deliver(CODES.platform, request.data["job"], request.data["uid"])


@callables.on_call(SIGNUP, signup_unlock.Unlock, GUESSES)
def unlock(call: Call[signup_unlock.Unlock]) -> Answer:
    return signup_unlock.unlock(SIGNUP.platform, call)
