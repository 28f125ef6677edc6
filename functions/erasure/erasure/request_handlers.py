"""Handlers of erasure: request, run, recover a lost one, show its receipt."""

import logging
from datetime import timedelta
from functools import partial
from typing import Any, Final

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field

from astra import erasure, jobs
from astra.accounts import tombstones
from astra.erasure import change_gate
from astra.erasure.change_gate import Bar, Barred
from astra.notices.deliveries import LETTERS
from astra.runtime import log, rate_limits
from astra.runtime.callables import Agreed, Answer, Call, Caller, Shape
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.task_queue import Queue
from astra.tlog import receipts

from erasure import cascade, confirmation, orphans
from erasure.settings import DeletionSettings, ErasureSettings, RollCallSettings

_MAX_SIGN_IN_AGE: Final = timedelta(minutes=5)


class DeleteAccount(Shape):
    """`confirm` keeps a stray call from ending an account."""

    confirm: Agreed


class ShowReceipt(Shape):
    """What `delete_account` answered."""

    receipt: str = Field(max_length=200)


def delete_account(
    platform: Platform[DeletionSettings], queue: Queue, letters: Queue, call: Call[DeleteAccount]
) -> Answer:
    """Begin the caller's erasure, and have them told. Asked again, it answers the same receipt and begins nothing."""
    caller, now = call.caller, platform.clock()
    if now - caller.signed_in_at > _MAX_SIGN_IN_AGE:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            "Sign in again, then ask for the deletion within 5 minutes.",
        )
    subject = platform.pseudonyms.of_uid(caller.uid)
    if not tombstones.reference(platform.db, subject).get().exists:
        _refuse_revoked(platform, caller)
    letter = partial(erasure.confirm, platform=platform, uid=caller.uid, now=now)
    begun = erasure.begin(platform, caller.uid, now, letter, _refuse_frozen)
    rate_limits.close(platform.redis, caller.uid)
    if begun:
        letters.hint(LETTERS)
        log.write(log.Event.ERASURE_REQUESTED, job=subject)
    queue.hint(subject)
    return {"receipt": platform.pseudonyms.receipt(subject), "requestId": subject}


def _refuse_frozen(profile: "firestore.DocumentSnapshot[Any]") -> None:
    # Holds bar no deletion: the cascade keeps what they name. Without a profile the bare account can still be deleted.
    if change_gate.state_bar(None, profile) is Bar.FROZEN:
        raise Barred(Bar.FROZEN)


def erase(platform: Platform[ErasureSettings], queue: Queue, job: str, budget: timedelta) -> None:
    """Work on one erasure until it is done or `budget` is used up."""
    worker, subject = jobs.Worker(platform.db, platform.clock, platform.settings.retry_delay), Pseudonym(job)
    page = confirmation.after(platform, cascade.Cascade(platform, subject).page)
    again = worker.run(erasure.reference(platform.db, subject), page, budget)
    if again is not None:
        queue.hint(job, again)


def reconcile(
    platform: Platform[RollCallSettings], queue: Queue, budget: timedelta, ahead: timedelta = timedelta(0)
) -> int:
    """Hand every overdue erasure back to the queue, then go on calling the roll, as if it were `ahead` so much later.
    Answers how many were overdue."""
    overdue = list(jobs.due(platform.db.collection(erasure.JOBS), platform.clock()))
    for job in overdue:
        queue.hint(job)
    if overdue:
        log.write(log.Event.JOBS_DUE, count=len(overdue))
    orphans.call_the_roll(platform, budget, ahead)
    return len(overdue)


def receipt(platform: Platform[DeletionSettings], call: Call[ShowReceipt]) -> Answer:
    """How far an erasure is, for whoever holds its receipt; the account need not exist any more."""
    request_id = platform.pseudonyms.request_of(call.data.receipt)
    job: dict[str, Any] | None = None
    if request_id:
        job = erasure.reference(platform.db, Pseudonym(request_id)).get().to_dict()
    if job is None:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "No deletion has this receipt: check that it is whole.")
    # One that waits for a legal hold to end has a certificate too, which says what is held.
    answer: Answer = {"state": job["state"]}
    if "certificate" in job:
        answer["certificate"] = job["certificate"]
        if proof := _proof(platform, job.get("logged")):
            answer["proof"] = proof
    return answer


def _proof(platform: Platform[DeletionSettings], entry_id: str | None) -> str | None:
    """The certificate's receipt from the log, once it is in a checkpoint. A log in disorder hides no certificate."""
    try:
        return receipts.of_entry(platform.db, platform.bucket, entry_id) if entry_id else None
    except log.Inconsistent as wrong:
        log.failure(log.Event.PROOF_FAILED, wrong, severity=logging.CRITICAL)
        return None


def _refuse_revoked(platform: Platform[DeletionSettings], caller: Caller) -> None:
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
