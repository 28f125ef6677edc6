"""Entries of the transparency log: actions, commitments, appending.

An action appends an entry in its own transaction: an action whose entry can't be written does not happen. What enters
the public tree is a commitment, SHA-256(nonce || canonical JSON of the record), which says nothing to anybody who has
not been shown the record; the opened record lies beside it in Firestore. Neither holds personal data: a record names
people by pseudonym alone. It says itself whom it concerns, so that nobody can give an entry to another by renaming it.

    commitments/{subject}.{id}   {action, at, actor, commitment, nonce, record, index}

`index` is null until the sequencer has given the entry its place; see `sequencer` in the tlog codebase. The
sequencer asks for what has no place yet, never for what came after something: an entry that commits late, under an
earlier time or name than one that is in the tree already, is as new as any other.

Who can write to Firestore can remove an entry that has no place yet, for a minute; what has one, they can't.
"""

import base64
import enum
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785
from google.cloud import firestore

from astra.runtime.pseudonyms import Pseudonym
from astra.tlog.signed_note import decoded

COMMITMENTS: Final = "commitments"
LOG: Final = "log"
"""In place of a person's pseudonym, for what concerns the log itself."""
_NONCE_BYTES: Final = 32
_MAX_LEAF_BYTES: Final = 65535
"""A leaf's length is two bytes of its bundle."""


class Action(enum.StrEnum):
    """Everything that is logged: `source:subject:action`, that is by what part, to what, and what was done."""

    CONSENT_GIVEN = "account:consent:give"
    """Somebody agreed to something: purpose and policy."""
    CONSENT_WITHDRAWN = "account:consent:withdraw"
    """They took it back."""
    ERASURE_BEGUN = "erasure:person:begin"
    """An erasure began: it was asked for, or the roll call found that it must be."""
    ERASURE_CERTIFIED = "erasure:certificate:issue"
    """An erasure was verified. The record is the certificate."""
    ORPHAN_FROZEN = "erasure:orphan:freeze"
    """Auth denied an account for more than a day: its profile was closed, and is erased days later."""
    ORPHAN_GIVEN_BACK = "erasure:orphan:give-back"
    """The account is there again, or the roll call was switched off: its profile was opened again."""
    ROLL_CALL_SWITCHED = "governance:roll-call:switch"
    """The roll call was switched on, on the report of a dry run, or off."""
    ACCESS_DENIED = "governance:access:deny"
    """Somebody tried what they may not: which action, and why not."""
    SECURITY_POLICY_ACCEPTED = "governance:security-policy:accept"
    ROLE_GRANTED = "governance:role:grant"
    ROLE_REVOKED = "governance:role:revoke"
    REVIEW_OPENED = "governance:review:open"
    """A review of the security policy is due: it is July, or something material has changed."""
    REVIEW_WIDENED = "governance:review:widen"
    """Something material has changed while a review is open: it is part of that one."""
    REVIEW_ESCALATED = "governance:review:escalate"
    REVIEW_OVERDUE = "governance:review:miss"
    REVIEW_SIGNED = "governance:review:sign"
    HOLD_PLACED = "governance:hold:place"
    HOLD_RELEASED = "governance:hold:release"
    DISCLOSURE_RECORDED = "governance:disclosure:record"
    DISCLOSURE_TOLD = "governance:disclosure:tell"
    """The ban on telling somebody of a disclosure has ended, and they were told."""
    PROCESSOR_REGISTERED = "governance:processor:register"
    POLICY_ANNOUNCED = "governance:policy:announce"
    """A version of a policy, by the hash of its text: a material one takes effect once everybody has been told."""
    POLICY_DATED = "governance:policy:date"
    """Everybody has been told: from when it is in force, or that a newer version was faster."""
    POLICY_WITHDRAWN = "governance:policy:withdraw"
    TRANSFER_PLANNED = "governance:transfer:plan"
    TRANSFER_OPENED = "governance:transfer:open"
    """Somebody passed a transfer's gate for the first time."""
    TRANSFER_CANCELLED = "governance:transfer:cancel"
    CHILD_REMOVED = "governance:child:remove"
    """A step of removing a child's account: freeze, erase or undo."""
    INCIDENT_OPENED = "breach:incident:open"
    """A detector saw something, or somebody of the staff reported it."""
    INCIDENT_CONFIRMED = "breach:incident:confirm"
    """Somebody of the staff knows that it is a breach: its clocks run from the record's `awareAt`."""
    INCIDENT_CONTAINED = "breach:incident:contain"
    """A measure against it was taken, or taken back."""
    INCIDENT_DESCRIBED = "breach:incident:describe"
    """What regulators and people are to be told of it was written down."""
    INCIDENT_COUNTED = "breach:incident:count"
    """Who is affected was computed from the evidence; null: the evidence can't say."""
    PEOPLE_RULED_OUT = "breach:people:rule-out"
    """Two people are sure that nobody is affected, though the evidence can't say."""
    INCIDENT_CLOSED = "breach:incident:close"
    REGULATOR_TOLD = "breach:regulator:tell"
    """A regulator, or others who must know, were told: which, when, and the hash of what they were told."""
    NOTICE_DELAYED = "breach:notice:delay"
    """The law lets us wait with telling people: on which basis, and until when."""
    NOTICE_APPROVED = "breach:notice:approve"
    """Two people approved the very text that people are told."""
    CLOCK_ALARMED = "breach:clock:alarm"
    """A deadline is near, or has passed."""
    DATA_SWEPT = "retention:data:sweep"
    """What had outlived its time was deleted, or kept for a legal hold: of which entry, how many, by which rule."""
    LIFE_CHANGED = "retention:life:change"
    """All of an entry that was stamped with another life has the present one."""
    INACTIVITY_WARNED = "retention:inactivity:warn"
    """Somebody who has not been here for long was told when they will be erased."""
    CAMPAIGN_STARTED = "breach:campaign:start"
    """Notices are sent to many: the record says by which name, and who approved it."""
    CAMPAIGN_SENT = "governance:campaign:send"
    """Two people started one, or let it go on after its first members were told."""
    CAMPAIGN_STOPPED = "governance:campaign:stop"
    CAMPAIGN_RESUMED = "governance:campaign:resume"
    CAMPAIGN_PREVIEWED = "governance:campaign:preview"
    CAMPAIGN_COMPLETED = "breach:campaign:complete"
    """Every member was told or is gone: the record has their counts and the cohort's root."""
    RECORDS_LOST = "log:records:lose"
    """Firestore was restored from a backup: the record says at which size, and which places are without one."""
    KEY_ANNOUNCED = "log:key:announce"
    """From some checkpoint on, the log signs with another key. The record is `{"verifier": line}`."""


@dataclass(frozen=True)
class Entry:
    """What is to be logged. `record` is JSON without fractions, and names people by pseudonym alone; `subject` is whom
    it concerns, `actor` who of the staff did it."""

    action: Action
    record: dict[str, Any]
    at: datetime
    subject: Pseudonym | None = None
    actor: Pseudonym | None = None


def append(batch: firestore.WriteBatch, db: firestore.Client, entry: Entry, name: str | None = None) -> str:
    """Write `entry` as part of `batch`, which may be a transaction. Answers its id; raises ValueError.

    `name` in place of a random one: then of entries of one name there is one, and a second fails the batch.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    # A name can be changed behind our back; what is committed to can't.
    committed = entry.record | ({"subject": entry.subject} if entry.subject else {})
    fields = {
        "action": entry.action.value,
        "at": int(entry.at.timestamp()),
        "actor": entry.actor,
        "commitment": commitment(nonce, committed),
        "nonce": base64.b64encode(nonce).decode(),
        "record": rfc8785.dumps(committed).decode(),
        "index": None,
    }
    leaf(fields)
    entry_id = f"{entry.subject or LOG}.{name or secrets.token_hex(16)}"
    batch.create(reference(db, entry_id), fields)
    return entry_id


def reference(db: firestore.Client, entry_id: str) -> firestore.DocumentReference:
    """Where an entry is kept."""
    return db.collection(COMMITMENTS).document(entry_id)


def commitment(nonce: bytes, record: dict[str, Any]) -> str:
    """What stands in the tree for a record, in hex. Raises ValueError for a record with fractions."""
    _refuse_fractions(record)
    return hashlib.sha256(nonce + rfc8785.dumps(record)).hexdigest()


def leaf(fields: dict[str, Any]) -> bytes:
    """The bytes in the tree, of an entry's document: canonical JSON. Raises ValueError if they are too many."""
    public = {name: fields[name] for name in ("action", "at", "actor", "commitment") if fields[name] is not None}
    found = rfc8785.dumps(public)
    if len(found) > _MAX_LEAF_BYTES:
        raise ValueError("an entry of the log is too long")
    return found


def is_opened_by(fields: dict[str, Any]) -> bool | None:
    """True if the record beside a commitment is the one committed to; None if it or its nonce was removed.

    A record that is not written as `append` does opens nothing: readers could differ about what it says.
    """
    if not (fields.get("record") and fields.get("nonce")):
        return None
    try:
        opened, nonce = record(fields), decoded(fields["nonce"])
        canonical = isinstance(opened, dict) and rfc8785.dumps(opened).decode() == fields["record"]
        return canonical and len(nonce) == _NONCE_BYTES and commitment(nonce, opened or {}) == fields["commitment"]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False


def record(fields: dict[str, Any]) -> dict[str, Any] | None:
    """The opened record of an entry's document, if it is still there."""
    found: dict[str, Any] | None = json.loads(fields["record"]) if fields.get("record") else None
    return found


def _refuse_fractions(value: object) -> None:
    # Whoever checks a record needs canonical JSON, and its only difficult part are fractions.
    if isinstance(value, float):
        raise ValueError("a record of the log holds no fractions")  # noqa: TRY004
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            _refuse_fractions(inner)
