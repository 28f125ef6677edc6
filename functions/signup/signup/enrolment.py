"""Enrolment: age screen and consents, before an account exists."""

from datetime import datetime
from typing import Annotated, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field, StringConstraints

from astra import policies
from astra.datamap.lookup import lives
from astra.runtime import log
from astra.runtime.callables import Agreed, Answer, Call, Shape
from astra.runtime.clock import iso
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform

from signup.settings import SignupSettings

ENROLMENTS: Final = "enrolments"
_MIN_AGE_MONTHS: Final = 13 * 12
_AGE_SCREEN: Final = "2025-08-02"
"""The version of this screen: of whoever passed it, no more is kept."""

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
# Whether an address is a good one is for Firebase Auth to say: here it is only the name of an enrolment. ASCII alone:
# of other letters, some look like these or become them in lower case.
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^\s*[!-?A-~]{1,64}@[!-?A-~]{1,253}\s*$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Jurisdiction = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]


class Consents(Shape):
    """What the person agrees to; only the terms are needed."""

    terms: Agreed
    electronicNotices: bool = False
    ipLock: bool = False


class StartSignup(Shape):
    """The sign-up form. There is no birth date: month and year decide, and are not kept."""

    email: Email
    name: Name
    birthYear: Annotated[int, Field(ge=1900, le=9999)]
    birthMonth: Annotated[int, Field(ge=1, le=12)]
    policyVersion: Annotated[str, StringConstraints(max_length=40)]
    consents: Consents
    jurisdiction: Jurisdiction | None = None


def start_signup(platform: Platform[SignupSettings], call: Call[StartSignup]) -> Answer:
    """Enrol an address for 15 minutes. The answer is the same whether or not it has an account."""
    form, now = call.data, platform.clock()
    _screen_age(form, now)
    in_force = policies.current(platform.db, now)
    if form.policyVersion != in_force.version:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            f"The policy has changed: read version {in_force.version} and agree to it.",
        )
    expires = now + lives(ENROLMENTS)
    enrolment = platform.db.collection(ENROLMENTS).document(platform.pseudonyms.of_email(form.email))
    fields = {
        "name": form.name,
        "jurisdiction": form.jurisdiction,
        "policyVersion": in_force.version,
        "policySha256": in_force.sha256,
        "policyEffectiveAt": in_force.effective_at,
        "ageScreen": _AGE_SCREEN,
        "createdAt": now,
        "expireAt": expires,
    }

    def enrol(transaction: firestore.Transaction) -> None:
        earlier = enrolment.get(transaction=transaction).to_dict()
        consents: dict[str, bool] = form.consents.model_dump()
        # Anybody may enrol any address: what is optional counts only if each who did so lately agreed to it.
        if earlier and earlier["expireAt"] > now:
            consents = {purpose: agreed and earlier["consents"][purpose] for purpose, agreed in consents.items()}
        transaction.set(enrolment, {**fields, "consents": consents})

    transact(platform.db, enrol)
    log.write(log.Event.ENROLLED)
    return {"expiresAt": iso(expires)}


def _screen_age(form: StartSignup, now: datetime) -> None:
    months = (now.year - form.birthYear) * 12 + now.month - form.birthMonth
    if months < 0:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "birthYear, birthMonth: lie in the future")
    # The day is not asked for, so the month of the thirteenth birthday still counts as under.
    if months <= _MIN_AGE_MONTHS:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "You can't sign up for this service.")
