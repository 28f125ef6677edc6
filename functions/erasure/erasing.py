"""The handlers: ask for an erasure, run it, find it again when it was lost, show what came of it."""

from datetime import datetime, timedelta
from typing import Any, Final

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.api_core.exceptions import AlreadyExists
from pydantic import Field

import cascade
from astra import jobs, log, tombstones
from astra.callables import Agreed, Answer, Call, Caller, Shape
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.queue import Queue
from astra.settings import ErasureSettings

JOBS: Final = "erasures"
_FRESH: Final = timedelta(minutes=5)


class DeleteAccount(Shape):
    """`confirm` keeps a stray call from ending an account."""

    confirm: Agreed


class ShowReceipt(Shape):
    """What `delete_account` answered."""

    receipt: str = Field(max_length=200)


def delete_account(platform: Platform[ErasureSettings], queue: Queue, call: Call[DeleteAccount]) -> Answer:
    """Begin the caller's erasure. Asked again, it answers the same receipt and begins nothing."""
    caller, now = call.caller, platform.clock()
    if now - caller.signed_in_at > _FRESH:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            "Sign in again, then ask for the deletion within 5 minutes.",
        )
    subject = platform.pseudonyms.of_uid(caller.uid)
    if not tombstones.reference(platform.db, subject).get().exists:
        _refuse_revoked(platform, caller)
    if begin(platform, caller.uid, now):
        log.write(log.Event.ERASURE_REQUESTED, job=subject)
    queue.hint(subject)
    return {"receipt": platform.pseudonyms.receipt(subject), "requestId": subject}


def begin(platform: Platform[ErasureSettings], uid: str, now: datetime) -> bool:
    """Write down the intent before anything is deleted: tombstone, job and closed profile, all or none of them.

    Answers whether this call was the one that began it.
    """
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)
    job, profile = db.collection(JOBS).document(subject), db.collection("users").document(uid)

    if job.get(["state"]).exists:
        return False
    # A batch, not a transaction: of a crowd that asks at once, one creates the job and none waits for another.
    batch = db.batch()
    batch.create(job, jobs.opened(now, uid=uid, step=cascade.FIRST, counts={}, reopened=0))
    tombstones.bury(batch, db, subject, now)
    if profile.get(["state"]).exists:
        batch.update(profile, {"state": "erasing"})
    try:
        batch.commit()
    except AlreadyExists:
        return False
    return True


def erase(platform: Platform[ErasureSettings], queue: Queue, job: str, budget: timedelta) -> None:
    """Work on one erasure until it is done or `budget` is used up."""
    worker = jobs.Worker(platform.db, platform.clock, platform.settings.retry_delay)
    reference = platform.db.collection(JOBS).document(job)
    again = worker.run(reference, cascade.Cascade(platform, Pseudonym(job)).page, budget)
    if again is not None:
        queue.hint(job, again)


def reconcile(platform: Platform[ErasureSettings], queue: Queue) -> int:
    """Hand every overdue erasure back to the queue. Answers how many."""
    overdue = list(jobs.due(platform.db.collection(JOBS), platform.clock()))
    for job in overdue:
        queue.hint(job)
    if overdue:
        log.write(log.Event.JOBS_DUE, count=len(overdue))
    return len(overdue)


def receipt(platform: Platform[ErasureSettings], call: Call[ShowReceipt]) -> Answer:
    """How far an erasure is, for whoever holds its receipt; the account need not exist any more."""
    request_id = platform.pseudonyms.request_of(call.data.receipt)
    job: dict[str, Any] | None = None
    if request_id:
        job = platform.db.collection(JOBS).document(request_id).get().to_dict()
    if job is None:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "No deletion has this receipt: check that it is whole.")
    if job["state"] == "verified":
        return {"state": "verified", "certificate": job["certificate"]}
    return {"state": job["state"]}


def _refuse_revoked(platform: Platform[ErasureSettings], caller: Caller) -> None:
    # The platform has verified the token itself; this asks Auth whether it still counts.
    try:
        auth.verify_id_token(caller.id_token, app=platform.app, check_revoked=True)
    except (auth.InvalidIdTokenError, auth.RevokedIdTokenError, auth.UserDisabledError, auth.UserNotFoundError) as no:
        # Somebody who has deleted the bare account first must still get the rest deleted.
        gone = isinstance(no, auth.UserNotFoundError)
        if gone and platform.db.collection("users").document(caller.uid).get(["state"]).exists:
            return
        message = "Your sign-in no longer counts. Sign in again."
        raise HttpsError(FunctionsErrorCode.UNAUTHENTICATED, message) from None
