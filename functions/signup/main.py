"""Sign-up: consent is on file before an account exists, and nobody gets around it."""

from firebase_functions import identity_fn, options

import accounts
import enrolment
from astra import callables
from astra.callables import Answer, Call
from astra.platform import Platform
from astra.settings import Settings

PLATFORM = Platform.at_start(Settings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "signup-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY"]


@callables.on_call(enrolment.StartSignup, region=REGION, secrets=SECRETS, service_account=ACCOUNT)
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
