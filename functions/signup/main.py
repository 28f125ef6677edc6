"""Sign-up and sign-in: consent is on file before an account exists, and nobody gets around it or in from elsewhere."""

from functools import cache
from typing import Any

from firebase_functions import https_fn, identity_fn, options, tasks_fn

from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.queue import Queue
from astra.settings import SignupSettings

import accounts
import enrolment
import profiles
import unlocking

PLATFORM = Platform.at_start(SignupSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "signup-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL", "ASTRA_SMTP_URL"]
#: Guesses at somebody's code: where they can't be counted, none is allowed.
GUESSES = Limit(10, fails_closed=True)


@cache
def queue() -> Queue:
    return Queue(PLATFORM.app, "sendcode")


def asked(event: identity_fn.AuthBlockingEvent) -> accounts.Asked:
    user = event.data
    role = (user.custom_claims or {}).get("role")
    return accounts.Asked(user.uid, user.email, event.ip_address, role)


@callables.on_call(PLATFORM, enrolment.StartSignup, Limit(60), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def start_signup(call: Call[enrolment.StartSignup]) -> Answer:
    return enrolment.start_signup(PLATFORM, call)


@identity_fn.before_user_created(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
@callables.guarded
def before_create(event: identity_fn.AuthBlockingEvent) -> None:
    accounts.before_create(PLATFORM, asked(event))


@identity_fn.before_user_signed_in(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
@callables.guarded
def before_sign_in(event: identity_fn.AuthBlockingEvent) -> None:
    accounts.before_sign_in(PLATFORM, asked(event))


@callables.on_call(PLATFORM, profiles.UpdateProfile, Limit(30), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def update_profile(call: Call[profiles.UpdateProfile]) -> Answer:
    return profiles.update_profile(PLATFORM, call)


@callables.on_call(PLATFORM, profiles.AcceptPolicy, Limit(30), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def accept_policy(call: Call[profiles.AcceptPolicy]) -> Answer:
    return profiles.accept_policy(PLATFORM, call)


@callables.on_call(PLATFORM, profiles.SetIpLock, Limit(30), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def set_ip_lock(call: Call[profiles.SetIpLock]) -> Answer:
    return profiles.set_ip_lock(PLATFORM, call)


@callables.on_call(PLATFORM, unlocking.SendCode, GUESSES, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def send_code(call: Call[unlocking.SendCode]) -> Answer:
    return unlocking.send_code(PLATFORM, queue(), call)


@tasks_fn.on_task_dispatched(
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    retry_config=options.RetryConfig(max_attempts=5, min_backoff_seconds=5),
)
@callables.guarded
def sendcode(request: https_fn.CallableRequest[Any]) -> None:
    unlocking.deliver(PLATFORM, request.data["job"], request.data["uid"])


@callables.on_call(PLATFORM, unlocking.Unlock, GUESSES, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def unlock(call: Call[unlocking.Unlock]) -> Answer:
    return unlocking.unlock(PLATFORM, call)
