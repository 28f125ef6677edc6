"""The CTO's review of the security policy: yearly, and after material changes.

    reviews/{year} or reviews/{date}-{digits}
        {reason, state, openedAt, escalateAt, overdueAt, reminders, vacantAt, signedAt, signedBy, late, policyVersion}
    rounds/review   {since, material}: since when this runs, and what was material when it last looked

    open        from 1 July, 0:00 UTC; the CTO is reminded every week
    escalated   from 31 July, or as soon as there is no CTO: security and privacy are told as well
    overdue     from 1 August
    signed      by a CTO, at the time at which they do it: there is no field for another

A change that is found while a review is open is part of that one. Its own has as many days as July has.
"""

import enum
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import rfc8785
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import policies, tlog
from astra.datamap.table import DATA_MAP
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.staff.privileged import Act, Decision, privileged

from governance.processors import PROCESSORS

REVIEWS: Final = "reviews"
WEEK: Final = timedelta(days=7)
_CHANGE_DEADLINES: Final = (timedelta(days=30), timedelta(days=31))


class ReviewState(enum.StrEnum):
    """The state of a review, in the order in which it goes through them."""

    OPEN = "open"
    ESCALATED = "escalated"
    OVERDUE = "overdue"
    SIGNED = "signed"


UNSIGNED: Final = tuple(state.value for state in ReviewState if state is not ReviewState.SIGNED)


class SignReview(Shape):
    """Which review, and which version of the security policy was reviewed. When is not for the caller to say."""

    review: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9]{2}-[0-9]{2}-[0-9a-f]{8})?$")]
    policyVersion: Annotated[str, StringConstraints(max_length=60)]


def of_july(year: int) -> dict[str, Any]:
    """A July's review, as it opens."""
    return _opened("july", datetime(year, 7, 1, tzinfo=UTC), timedelta(days=30), timedelta(days=31))


def of_change(now: datetime) -> dict[str, Any]:
    """The review of a material change that was found at `now`."""
    return _opened("change", now, *_CHANGE_DEADLINES)


def _opened(reason: str, at: datetime, escalates: timedelta, overdue: timedelta) -> dict[str, Any]:
    dates = {"openedAt": at, "escalateAt": at + escalates, "overdueAt": at + overdue}
    return {
        "reason": reason,
        "state": ReviewState.OPEN.value,
        **dates,
        "reminders": 0,
        "vacantAt": None,
        "signedAt": None,
    }


def stage(review: dict[str, Any], now: datetime, *, vacant: bool) -> ReviewState:
    """The state that an unsigned review is in at `now`; none goes back."""
    if now >= review["overdueAt"]:
        return ReviewState.OVERDUE
    if now >= review["escalateAt"] or vacant or review["state"] == ReviewState.ESCALATED:
        return ReviewState.ESCALATED
    return ReviewState.OPEN


def weeks(review: dict[str, Any], now: datetime) -> int:
    """How many reminders there should have been by `now`: one when it opens, then one a week."""
    return int((now - review["openedAt"]) / WEEK) + 1


def material(platform: Platform[Settings], now: datetime) -> str:
    """SHA-256 of what a review is about: both policies, who processes data, and what is processed where and why."""
    about: dict[str, Any] = {
        "policies": [policies.current(platform.db, now, kind).sha256 for kind in (policies.PUBLIC, policies.SECURITY)],
        "processors": [[processor.name, *processor.hosts] for processor in PROCESSORS],
        "entries": [
            [entry.name, entry.where, entry.category, entry.purpose, str(entry.lawful_basis), *entry.recipients]
            for entry in DATA_MAP
        ],
    }
    return hashlib.sha256(rfc8785.dumps(about)).hexdigest()


@privileged(tlog.Action.REVIEW_SIGNED)
def sign_review(act: Act, form: SignReview) -> Decision:
    """Sign a review that is open, now. One that was signed late stays late."""
    document = act.db.collection(REVIEWS).document(form.review)
    review = document.get(transaction=act.transaction).to_dict()
    required = policies.current(act.db, act.now, policies.SECURITY, act.transaction)
    if review is None:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "No such review has been opened.")
    if review["state"] == ReviewState.SIGNED:
        raise HttpsError(FunctionsErrorCode.ALREADY_EXISTS, "This review is signed.")
    if form.policyVersion != required.version:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, f"The security policy in force is {required.version}: review that."
        )
    late = act.now >= review["overdueAt"]
    signed = {"state": ReviewState.SIGNED.value, "signedAt": act.now, "signedBy": act.actor, "late": late}

    def write(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
        reviewed = {"policyVersion": required.version, "policySha256": required.sha256}
        transaction.update(document, {**signed, **reviewed})

    record = {"review": form.review, "version": required.version, "sha256": required.sha256, "late": late}
    return Decision(write, record, answer={"signedAt": iso(act.now), "late": late})
