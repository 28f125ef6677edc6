"""Erasure requests, as jobs: begin, resume, confirm.

    erasures/{pseudonym}   a job (see `jobs`) with uid, step, cursor and counts until it is verified; then a certificate

`astra erasure status`, `… show WHO`, `… retry WHO` and `… roll-call` are for staff.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, NotFound
from google.cloud import firestore

from astra import jobs, tlog
from astra.accounts import tombstones
from astra.accounts.state import ProfileState
from astra.notices import campaigns
from astra.notices.campaigns import Channel
from astra.notices.inbox import Kind
from astra.runtime.account_id import is_account_id
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.firestore import PendingWrite, transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import ReceiptSettings, Settings

if TYPE_CHECKING:
    pass

JOBS: Final = "erasures"
FIRST: Final = "freeze"
HELD: Final = "held"
"""The step of an erasure that has done all it may, and waits for a legal hold to end."""
LETTER: Final = "erasure"
"""The name of the letter that confirms one."""
TRIES: Final = 5
"""How often an erasure begins on condition that the profile has not changed, before it locks the profile."""


def reference(db: firestore.Client, subject: Pseudonym) -> firestore.DocumentReference:
    """The job of a person's erasure."""
    return db.collection(JOBS).document(subject)


def begin(
    platform: Platform[Settings],
    uid: str,
    now: datetime,
    letter: Callable[[firestore.WriteBatch], None] = lambda _: None,
    refuse: Callable[["firestore.DocumentSnapshot[Any]"], None] = lambda _: None,
) -> bool:
    """Write down the intent before anything is deleted: tombstone, job, log and closed profile, all or none of them.

    With them goes what `letter` adds, for whoever has a profile. `refuse` raises if the profile, as it is when this is
    committed, is not to be erased. Answers whether this call was the one that began it.
    """
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)

    def write(batch: firestore.WriteBatch, profile: "firestore.DocumentSnapshot[Any]", option: Any = None) -> None:
        intend(batch, platform, uid, now, has_profile=profile.exists, option=option)
        if profile.exists:
            letter(batch)

    for _ in range(TRIES):
        job, profile = fetch(db, reference(db, subject), db.collection("users").document(uid))
        if job.exists:
            return False
        refuse(profile)
        # A batch, not a transaction: of a crowd that asks at once, one creates the job and none waits for another.
        batch = db.batch()
        unchanged = db.write_option(last_update_time=profile.update_time) if profile.exists else None
        write(batch, profile, unchanged)
        try:
            batch.commit()
        except AlreadyExists:
            return False
        except (FailedPrecondition, NotFound):
            continue  # the profile has changed since it was read, and may be frozen
        return True

    def alone(transaction: firestore.Transaction) -> bool:
        job, profile = fetch(db, reference(db, subject), db.collection("users").document(uid), transaction=transaction)
        if not job.exists:
            refuse(profile)
            write(transaction, profile)
        return not job.exists

    return transact(db, alone)  # somebody writes to the profile all the time: keep them waiting


def intend(
    batch: firestore.WriteBatch,
    platform: Platform[Settings],
    uid: str,
    now: datetime,
    *,
    has_profile: bool,
    option: Any = None,
) -> None:
    """Write the intent as part of `batch`, which may be a transaction. It fails if there is one already, and if the
    profile does not meet the condition `option`."""
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)
    batch.create(reference(db, subject), _opened(uid, now))
    tombstones.bury(batch, db, subject, now)
    tlog.append(batch, db, _begun(subject, now))
    if has_profile:
        batch.update(db.collection("users").document(uid), {"state": ProfileState.ERASING.value}, option)


def confirm(batch: firestore.WriteBatch, platform: Platform[ReceiptSettings], uid: str, now: datetime) -> None:
    """Have the letter sent that says that it has begun, with the receipt, as part of the `batch` of its intent."""
    facts = {
        "receipt": platform.pseudonyms.receipt(platform.pseudonyms.of_uid(uid)),
        "url": str(platform.settings.receipt_url),
    }
    campaigns.tell(batch, platform, uid, LETTER, Kind.ERASURE, facts, now, (Channel.EMAIL,))


def begin_again(platform: Platform[Settings], uid: str, now: datetime) -> None:
    """Erase somebody of whom there is data although their erasure has ended: a backup was restored.

    One that is under way goes on. The old certificate stays until there is a new one.
    """
    db, subject = platform.db, platform.pseudonyms.of_uid(uid)

    def body(transaction: firestore.Transaction) -> None:
        profile = db.collection("users").document(uid)
        job, restored = fetch(db, reference(db, subject), profile, transaction=transaction)
        if job.exists and job.get("nextRunAt") is not None:
            if job.get("step") == HELD:
                # Done but for what is held: it goes through everything once more, and waits again.
                transaction.update(job.reference, {"nextRunAt": now})
            return
        tombstones.bury(transaction, db, subject, now)
        tlog.append(transaction, db, _begun(subject, now))
        if restored.exists:
            transaction.update(profile, {"state": ProfileState.ERASING.value})
        # The fence goes on counting, so that a worker from before the end stays fenced.
        fence = {"fence": job.get("fence") + 1} if job.exists else {}
        transaction.set(reference(db, subject), {**_opened(uid, now), **fence}, merge=True)

    transact(db, body)


def pending_resume(
    transaction: firestore.Transaction, db: firestore.Client, subject: Pseudonym, now: datetime
) -> PendingWrite:
    """Read whether an erasure waits for a legal hold. Return the write that lets it go on."""
    job = reference(db, subject).get(["step"], transaction=transaction)
    waits = (job.to_dict() or {}).get("step") == HELD
    return PendingWrite(lambda: transaction.update(job.reference, {"nextRunAt": now}) if waits else None)


def _opened(uid: str, now: datetime) -> dict[str, Any]:
    if not is_account_id(uid):
        raise ValueError("this is no account id: it would be a path to something else")
    return jobs.opened(now, uid=uid, step=FIRST, counts={}, reopened=0)


def _begun(subject: Pseudonym, now: datetime) -> tlog.Entry:
    record = {"subject": subject, "begunAt": iso(now)}
    return tlog.Entry(tlog.Action.ERASURE_BEGUN, record, now, subject)
