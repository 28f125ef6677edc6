"""Sign-up: consent is on file before an account exists, and nobody gets around it."""

from firebase_functions import identity_fn, options

import accounts
import enrolment
from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.settings import RedisSettings

PLATFORM = Platform.at_start(RedisSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "signup-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"]


@callables.on_call(PLATFORM, enrolment.StartSignup, Limit(60), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def start_signup(call: Call[enrolment.StartSignup]) -> Answer:
    return enrolment.start_signup(PLATFORM, call)


@identity_fn.before_user_created(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
@callables.guarded
def before_create(event: identity_fn.AuthBlockingEvent) -> None:
    accounts.before_create(PLATFORM, event.data.uid, event.data.email)


@identity_fn.before_user_signed_in(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
@callables.guarded
def before_sign_in(event: identity_fn.AuthBlockingEvent) -> None:
    accounts.before_sign_in(PLATFORM, event.data.uid)
