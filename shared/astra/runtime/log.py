"""Structured application log, whose fields can't carry personal data.

A line is an event of a fixed list with fields of closed types: numbers, truth values, members of an enumeration,
pseudonyms, classes of exceptions. There is no free text to put an address into. Everything that libraries log goes
through the same door: only the logger's name, the level and the place in the code get out, never the message.
"""

import enum
import json
import logging
import sys
import threading
from collections.abc import Mapping
from typing import Any, TypeAlias

from astra.runtime.pseudonyms import Pseudonym


class Inconsistent(Exception):
    """The transparency log, its witness or a proof contradict each other: somebody may have rewritten history.

    Each subclass opens an incident: a line that names one is followed by `Event.LOG_INCONSISTENT`.
    """


Field: TypeAlias = "int | float | bool | enum.Enum | Pseudonym | type[BaseException] | None"


class Event(enum.StrEnum):
    """Every event that is logged. The name says `subject.what-happened`."""

    LIBRARY = "library.message"
    """A library logged something; its words are withheld."""
    FAILED = "handler.failed"
    """A handler ended in an exception that it did not expect."""
    LIMITER_DOWN = "limiter.down"
    """Redis did not answer: the request was let through uncounted or, where the limit is `closed`, refused."""
    GATHERING_DOWN = "gathering.down"
    """Redis did not answer: usage events are committed one by one; who is being erased is refused with the minute."""
    EVENTS_LEFT = "usage.left"
    """What somebody did could not be written down: the next `flush` tries again."""
    FLUSH_LATE = "usage.late"
    """There was no time to write down what so many people did: the next `flush` goes on."""
    ENROLLED = "enrolment.begun"
    SIGNED_UP = "account.created"
    SIGN_UP_REFUSED = "account.refused"
    SIGN_IN_REFUSED = "sign-in.refused"
    """By a lock on another network, or for want of a policy's acceptance."""
    CODE_SENT = "code.sent"
    UNLOCKED = "sign-in.unlocked"
    """Somebody locked out proved by a code from their mailbox who they are."""
    POLICY_ACCEPTED = "policy.accepted"
    PROFILE_RECTIFIED = "profile.rectified"
    IP_LOCK_SET = "ip-lock.set"
    UPLOAD_SEALED = "upload.sealed"
    UPLOAD_REJECTED = "upload.rejected"
    UPLOAD_DROPPED = "upload.dropped"
    """An upload was removed undecoded: its owner is being erased, or the event came a second time."""
    UPLOADS_RECOVERED = "upload.recovered"
    """Uploads that had lost their event, or their worker, were taken up again."""
    IMAGE_OPENED = "image.opened"
    """By whom, under their pseudonym: one who opens far more than people do has somebody's token."""
    ERASURE_REQUESTED = "erasure.requested"
    ERASURE_STEP = "erasure.step"
    ERASURE_REOPENED = "erasure.reopened"
    """The verifier found something: the cascade runs again."""
    ERASURE_VERIFIED = "erasure.verified"
    ITEM_DELETED = "item.deleted"
    ORPHANS_FOUND = "orphans.found"
    """Data without an account, or data of somebody who was erased."""
    ORPHAN_RETURNED = "orphans.returned"
    """An account is there again whose profile was frozen because Auth denied it for more than a day."""
    ROLL_CALL_STOPPED = "roll-call.stopped"
    """A round stopped, for a reason that staff must look into: nobody was erased by it."""
    ROLL_CALL_IDLE = "roll-call.idle"
    """The roll call is off, or has stopped: said every hour."""
    ODD_NAMES = "orphans.odd-names"
    """Something lies where accounts have their data, under a name that no account can have."""
    LOG_PUBLISHED = "log.published"
    """The transparency log has a new checkpoint, and the witness remembers it."""
    PROOF_FAILED = "log.proof-failed"
    """A receipt's proof can't be made of the log as it is stored."""
    LOG_INCONSISTENT = "log.inconsistent"
    """The log contradicts its witness, or itself. The watch opens an incident for each such line."""
    ACCESS_DENIED = "staff.denied"
    """Somebody tried what they may not do."""
    FOLLOW_UP_FAILED = "staff.follow-up-failed"
    """What was decided is written, but not yet carried through outside the database: `review` does it again."""
    REVIEW_MOVED = "review.moved"
    """A review of the security policy was opened, escalated, or missed its date."""
    POLICY_DATED = "policy.dated"
    """Everybody has been told of a version of the policy: it takes effect, or a newer one was faster."""
    FINDING_OPENED = "finding.opened"
    """Staff must see to something, such as an agreement that has ended."""
    HONEY_TOUCHED = "honey.touched"
    """Somebody reached for what exists only to be reached for by nobody."""
    PROCESSOR_MAIL = "processor.mail"
    """A processor wrote of a breach on its side."""
    WATCH_DOWN = "watch.down"
    """Redis did not answer: the event comes again, and what needs no counting was looked at."""
    WATCH_UNREADABLE = "watch.unreadable"
    """Something on the topic of the audit log is no entry of it."""
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_MOVED = "incident.moved"
    """An incident was confirmed, contained, told of or closed."""
    CLOCK_ALARM = "clock.alarm"
    """A deadline is near, or has passed."""
    SWEPT = "sweep.swept"
    """What had outlived its time was deleted."""
    SWEEP_SKIPPED = "sweep.skipped"
    """One thing that had outlived its time could not be deleted; the others were, and the next sweep tries again."""
    RESTAMPED = "sweep.restamped"
    """A life has changed in the data map, and all that it counts for was stamped anew."""
    INACTIVE = "account.inactive"
    """Somebody inactive was warned, or their erasure began."""
    MAIL_DOWN = "mail.down"
    """The mail server can't be reached, or takes no letters: how many times in turn. They wait."""
    MAIL_SETTLED = "mail.settled"
    """The mail server reported what became of a letter."""
    JOB_FAILED = "job.failed"
    """A job's page failed; it is tried again later."""
    JOB_STUCK = "job.stuck"
    """A job failed too often: a person must look."""
    JOB_FENCED = "job.fenced"
    """A worker lost its lease to another and stopped."""
    QUEUE_DOWN = "queue.down"
    """A task could not be enqueued; the reconciler will find its job."""
    JOBS_DUE = "jobs.due"
    """The reconciler handed overdue jobs back to their queue."""


def _plain(value: Field) -> object:
    if isinstance(value, type) and issubclass(value, BaseException):
        return value.__name__
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | Pseudonym):
        return value
    raise TypeError(f"a log field can't be of type {type(value).__name__}: use a number, an enumeration or a pseudonym")


def _lines(event: Event, severity: int, fields: Mapping[str, Field]) -> str:
    known = {"severity": logging.getLevelName(severity), "event": event.value}
    line = json.dumps(known | {name: _plain(value) for name, value in fields.items()})
    error = fields.get("error")
    # Here, where every line is made, so that no boundary can end in such an error and forget to say so.
    if event is not Event.LOG_INCONSISTENT and isinstance(error, type) and issubclass(error, Inconsistent):
        line += "\n" + _lines(Event.LOG_INCONSISTENT, logging.CRITICAL, {"error": error})
    return line


def write(event: Event, *, severity: int = logging.INFO, **fields: Field) -> None:
    """Print one line of JSON that Cloud Logging reads as a structured entry, and a second one for an Inconsistent."""
    print(_lines(event, severity, fields), file=sys.stdout, flush=True)  # noqa: T201


def failure(event: Event, error: BaseException, *, severity: int = logging.ERROR, **fields: Field) -> None:
    """Log that `error` happened: its class and where it was raised, never its message, which may quote data."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else "unknown"
    write(event, severity=severity, error=type(error), place=_Place(place), **fields)


class _Place(Pseudonym):
    """A place in the code; a subclass so that `write` stays closed to other text."""

    __slots__ = ()


class _Withheld(logging.LogRecord):
    """Any library's log record, reduced to where it came from before a handler, ours or its own, sees it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        place = _Place(f"{self.name}:{self.funcName}:{self.lineno}")
        error = self.exc_info[0] if self.exc_info else None
        self.msg = _lines(Event.LIBRARY, self.levelno, {"place": place, "error": error})
        self.args, self.exc_info, self.exc_text, self.stack_info = None, None, None, None


class _Stdout(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stdout, flush=True)  # noqa: T201


def _uncaught(kind: type[BaseException], error: BaseException | None, _trace: object) -> None:
    failure(Event.FAILED, error or kind(), severity=logging.CRITICAL)


def install() -> None:
    """Route what every library logs or warns of through this module. Called once at a codebase's start.

    The record factory, not a handler: servers such as gunicorn give their loggers handlers of their own, later.
    """
    logging.setLogRecordFactory(_Withheld)
    root = logging.getLogger()
    root.handlers[:], root.level = [_Stdout()], logging.WARNING
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda caught: _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)
