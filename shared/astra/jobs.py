"""Jobs: long work in short, idempotent pages, leased and fenced.

Why this can neither lose work nor do it twice with effect:
- The job is a document, written in the transaction that asked for it. The queue only says "look now"; a lost task
  delays a job until the reconciler finds `nextRunAt <= now`.
- A worker must hold the lease: claiming moves `nextRunAt` to the lease's end and raises the job's fence, in one write
  on condition that the job is still as it was read. A worker that dies leaves a job that falls due again; one that
  slept through its lease changes nothing: a checkpoint is one commit, on condition that the job is as this worker left
  it. If it is not, or the page must read, it is a transaction that first compares fences, and stops with Fenced.
- A page must be harmless to repeat (deleting what is gone is success), because a crash between a page and its
  checkpoint repeats exactly that page. A page whose writes are in the job's own database is Atomic: they happen in the
  checkpoint's commit, so that nothing is repeated, counted twice or done by a worker that has lost its lease.
- Every claim that ends without progress counts: as a failure when it fails, and when it is claimed anew if its worker
  died. A job that failed too often is `stuck`: visible, and in nobody's way. There is no loop: each pass makes
  progress, or waits for a lease to end or longer than the one before, or ends.

    state        "running", then whatever end the work names, or "stuck"
    step         where in the work it is; counts: what it did so far
    nextRunAt    when anybody may claim it: when it is due, or when its worker's lease ends; null once it has ended
    leased       whether a worker has it: due all the same, that worker died or is late
    fence        how often it was claimed
    attempts     failures and lost workers since the last progress
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, NotFound
from google.cloud import firestore

from astra.runtime import log
from astra.runtime.clock import Clock
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.pseudonyms import Pseudonym

MAX_ATTEMPTS: Final = 12
_LEASE_DURATION: Final = timedelta(minutes=5)
_MAX_DELAY: Final = timedelta(hours=1)
RUNNING: Final = "running"
STUCK: Final = "stuck"
STOPPED: Final = {"state": STUCK, "leased": False, "nextRunAt": None}
"""The fields of a job that goes on only when somebody says so: see `revived`."""
_MISSING: Final = firestore.ExistsOption(exists=False)


class Fenced(Exception):
    """Another worker has claimed the job since, or this one has given it back already and did not hear the answer."""


@dataclass(frozen=True)
class Pause:
    """A page's answer when there is nothing to do before `until`."""

    changes: dict[str, Any]
    until: datetime


@dataclass(frozen=True)
class Atomic:
    """A page's answer when its writes happen together with the checkpoint, or not at all.

    `write` runs in the checkpoint's transaction, after the fence was compared. It is given the documents `reads`, as
    read in that transaction, may run again, and answers the fields to change. If those are `rare`, hardly ever there,
    it is given a batch first, which asserts that they are not there and takes no request more than itself; only if one
    is, there is a transaction. Such a `write` may not read by itself.
    """

    write: Callable[[Any, "Snapshots"], dict[str, Any]]
    reads: tuple[firestore.DocumentReference, ...] = ()
    rare: bool = False


Snapshots = list["firestore.DocumentSnapshot[Any]"]
Written = tuple[firestore.WriteBatch, dict[str, Any]]
"""What was committed, the job's own write last, and the fields which that changed."""
Page = Callable[[dict[str, Any]], "dict[str, Any] | Pause | Atomic"]
"""One bounded piece of work on the job's fields. Answers the fields to change, `nextRunAt: None` to end."""


@dataclass
class _Claim:
    """A job that a worker has, its fields as this worker knows them, and when it has written them."""

    job: firestore.DocumentReference
    fields: dict[str, Any]
    written: datetime

    @property
    def name(self) -> Pseudonym:
        return Pseudonym(self.job.id)


def opened(now: datetime, **fields: Any) -> dict[str, Any]:
    """The fields of a new job, due at once."""
    state = {"state": RUNNING, "nextRunAt": now, "leased": False, "fence": 0, "attempts": 0}
    return fields | state | {"createdAt": now}


def revived(now: datetime) -> dict[str, Any]:
    """The changes that let a job go on now, whatever it waits for or has failed at."""
    return {"state": RUNNING, "nextRunAt": now, "leased": False, "attempts": 0}


def due(jobs: firestore.CollectionReference, now: datetime, most: int = 100) -> Iterator[str]:
    """Ids of jobs that should be running and are not, longest due first."""
    query = jobs.where(filter=firestore.FieldFilter("nextRunAt", "<=", now)).order_by("nextRunAt")
    return (snapshot.id for snapshot in query.select([]).limit(most).get())


class Worker:
    """Runs jobs of one collection. `retry_delay` is the wait after a first failure; it doubles from there."""

    def __init__(self, db: firestore.Client, clock: Clock, retry_delay: timedelta) -> None:
        self._db = db
        self._clock = clock
        self._retry_delay = retry_delay

    def run(self, job: firestore.DocumentReference, page: Page, budget: timedelta) -> datetime | None:
        """Work on `job` until it ends, pauses, fails or `budget` is used up. Answers when to come back, or None.

        `budget` should be about 70 % of the function's timeout. Raises nothing that a page raised: a failure is in
        the job's fields and the log.
        """
        deadline = self._clock() + budget
        claim = self._claim(job)
        if claim is None:
            return None
        try:
            while claim.fields["leased"]:
                outcome = page(claim.fields)
                self._advance(claim, outcome, release=self._clock() >= deadline)
        except Fenced:
            log.write(log.Event.JOB_FENCED, job=claim.name)
            return None
        except Exception as error:  # noqa: BLE001  (the boundary of a page: nothing may take the job with it)
            return self._fail(claim, error)
        return _moment(claim.fields["nextRunAt"])

    def _claim(self, job: firestore.DocumentReference) -> _Claim | None:
        now, snapshot = self._clock(), job.get()
        fields = snapshot.to_dict()
        if not fields or fields["nextRunAt"] is None or fields["nextRunAt"] > now:
            return None
        attempts = fields["attempts"] + fields["leased"]  # nobody gave it back: its worker died, or is late
        claimed = {
            "fence": fields["fence"] + 1,
            "attempts": attempts,
            "leased": True,
            "nextRunAt": now + _LEASE_DURATION,
        }
        if attempts >= MAX_ATTEMPTS:
            claimed |= STOPPED
        # One conditional write, not a transaction: a crowd of workers is told apart without waiting for each other.
        try:
            done = job.update(claimed, option=self._db.write_option(last_update_time=snapshot.update_time))
        except (Aborted, FailedPrecondition, NotFound):
            return None  # somebody else has it
        if attempts >= MAX_ATTEMPTS:
            log.write(log.Event.JOB_STUCK, severity=logging.CRITICAL, job=Pseudonym(job.id))
            return None
        return _Claim(job, {**fields, **claimed}, done.update_time)

    def _advance(self, claim: _Claim, outcome: dict[str, Any] | Pause | Atomic, *, release: bool) -> None:
        """The checkpoint. Whoever says when the job is due again has given it back."""
        now = self._clock()
        if isinstance(outcome, Pause):
            outcome = {**outcome.changes, "nextRunAt": outcome.until}
        going_on = {"attempts": 0, "leased": not release, "nextRunAt": now if release else now + _LEASE_DURATION}
        atomic = outcome if isinstance(outcome, Atomic) else Atomic(lambda *_: outcome, rare=True)
        self._checkpoint(claim, going_on, atomic)

    def _fail(self, claim: _Claim, error: Exception) -> datetime | None:
        now, attempts = self._clock(), claim.fields["attempts"] + 1
        log.failure(log.Event.JOB_FAILED, error, job=claim.name, attempts=attempts)
        delay = min(self._retry_delay * 2 ** (attempts - 1), _MAX_DELAY)
        changes: dict[str, Any] = {"attempts": attempts, "leased": False, "nextRunAt": now + delay}
        if attempts >= MAX_ATTEMPTS:
            log.write(log.Event.JOB_STUCK, severity=logging.CRITICAL, job=claim.name)
            changes |= STOPPED
        try:
            self._checkpoint(claim, changes, Atomic(lambda *_: {}, rare=True))
        except Fenced:
            return None
        return _moment(changes["nextRunAt"])

    def _checkpoint(self, claim: _Claim, changes: dict[str, Any], atomic: Atomic) -> None:
        def write(batch: firestore.WriteBatch, read: Snapshots, option: Any = None) -> Written:
            asked = atomic.write(batch, read)
            written = {**changes, **asked} | ({"leased": False} if "nextRunAt" in asked else {})
            batch.update(claim.job, written, option)
            return batch, written

        def compared(transaction: firestore.Transaction) -> Written:
            stored, *read = fetch(self._db, claim.job, *atomic.reads, transaction=transaction)
            if not stored.exists or stored.get("fence") != claim.fields["fence"] or not stored.get("leased"):
                raise Fenced
            return write(transaction, read)

        batch, written = self._at_once(claim, atomic, write) or transact(self._db, compared)
        [*_, done] = batch.write_results or []
        claim.fields, claim.written = {**claim.fields, **written}, done.update_time

    def _at_once(self, claim: _Claim, atomic: Atomic, write: Callable[..., Written]) -> Written | None:
        """The commit without a read, or None if a condition of it is not met: why, a transaction finds out."""
        if not atomic.rare:
            return None
        batch = self._db.batch()
        for reference in atomic.reads:
            batch.delete(reference, _MISSING)
        read = [firestore.DocumentSnapshot(reference, None, False, None, None, None) for reference in atomic.reads]
        done = write(batch, read, self._db.write_option(last_update_time=claim.written))
        try:
            batch.commit()
        except (Aborted, AlreadyExists, FailedPrecondition, NotFound):
            return None
        return done


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
