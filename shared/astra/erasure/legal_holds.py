"""Legal holds: entries of the data map that erasure and retention must keep.

A hold names entries of the data map, a basis, an end and two people who approved it; a hold on everything is refused.
It is checked where data is deleted, so that no way of deleting can pass it by: a page of a cascade reads `held` before
it deletes, documents even in the transaction that deletes them.

    holds/{pseudonym}   {id: {entries, basis, expiresAt, approvers, placedAt, releasedAt}}
"""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra.datamap.model import Disposition, Entry
from astra.datamap.table import DATA_MAP
from astra.erasure.request import pending_resume
from astra.runtime.firestore import PendingWrite, transact
from astra.runtime.pseudonyms import Pseudonym

HOLDS: Final = "holds"
MAX_HOLD: Final = timedelta(days=366)
"""A hold that is needed for longer is renewed, which makes somebody look at it again."""
_MIN_APPROVERS: Final = 2


class Refused(ValueError):
    """The hold can't be placed. The message says what to change."""


def reference(db: firestore.Client, subject: Pseudonym) -> firestore.DocumentReference:
    """Where a person's holds are."""
    return db.collection(HOLDS).document(subject)


def place(
    db: firestore.Client,
    subject: Pseudonym,
    *,
    entries: Collection[str],
    basis: str,
    expires_at: datetime,
    approvers: Collection[str],
    now: datetime,
) -> str:
    """Hold `entries` of a person until `expires_at`. Answers the hold's id; raises Refused.

    `basis` names the law and the case's reference and is shown to the person: nothing else belongs into it.
    """
    hold_id = secrets.token_hex(8)

    def body(transaction: firestore.Transaction) -> None:
        stored = reference(db, subject).get(transaction=transaction)
        hold = drawn_up(stored, entries=entries, basis=basis, expires_at=expires_at, now=now)
        put(transaction, stored.reference, hold_id, hold, approvers)

    transact(db, body)
    return hold_id


def drawn_up(
    stored: "firestore.DocumentSnapshot[Any]",
    *,
    entries: Collection[str],
    basis: str,
    expires_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    """A hold beside the person's others, as read; nothing is written yet. Raises Refused."""
    _check(basis, expires_at, now)
    # Together with those that are valid: a hold on everything is not let in piece by piece.
    _check_scope(entries, held(stored, now).keys())
    when = {"expiresAt": expires_at, "placedAt": now, "releasedAt": None}
    return {"entries": sorted(entries), "basis": basis.strip(), **when}


def put(
    batch: firestore.WriteBatch,
    holds: firestore.DocumentReference,
    hold_id: str,
    hold: dict[str, Any],
    approvers: Collection[str],
) -> None:
    """Write what was drawn up, in the same transaction. Raises Refused unless two people approve it."""
    different = {approver.strip().casefold() for approver in approvers} - {""}
    if isinstance(approvers, str) or len(different) < _MIN_APPROVERS:
        raise Refused("approvers: two different people must approve a hold.")
    batch.set(holds, {hold_id: {**hold, "approvers": sorted(approvers)}}, merge=True)


def release(db: firestore.Client, subject: Pseudonym, hold_id: str, now: datetime) -> None:
    """End a hold before its time. An erasure that waited for it goes on. Raises Refused if there is none."""
    transact(db, lambda transaction: pending_release(transaction, db, subject, hold_id, now).apply())


def pending_release(
    transaction: firestore.Transaction, db: firestore.Client, subject: Pseudonym, hold_id: str, now: datetime
) -> PendingWrite:
    """Read a hold. Return the write that ends it. Raise Refused if there is none."""
    stored = reference(db, subject).get(transaction=transaction).to_dict() or {}
    if hold_id not in stored:
        raise Refused("There is no hold of this id.")
    resume = pending_resume(transaction, db, subject, now)

    def write() -> None:
        resume.apply()
        if stored[hold_id]["releasedAt"] is None:
            transaction.update(reference(db, subject), {f"`{hold_id}`.releasedAt": now})

    return PendingWrite(write)


def held(stored: "firestore.DocumentSnapshot[Any]", now: datetime) -> dict[str, dict[str, Any]]:
    """The entries that must stay, of a person's holds as read, each with its hold that lasts longest."""
    holds = stored.to_dict() or {}
    valid = [hold for hold in holds.values() if hold["releasedAt"] is None and hold["expiresAt"] > now]
    found: dict[str, dict[str, Any]] = {}
    for hold in sorted(valid, key=lambda hold: hold["expiresAt"]):
        found |= dict.fromkeys(hold["entries"], hold)
    return found


def with_keys(held: dict[str, dict[str, Any]], is_there: Callable[[Entry], bool]) -> dict[str, dict[str, Any]]:
    """`held`, and the keys without which it would be noise, if it is there: keys to nothing are not kept."""
    found = dict(held)
    for entry in DATA_MAP:
        if entry.name in held and entry.opened_by and is_there(entry):
            for key in entry.opened_by:
                found[key] = max(found.get(key, held[entry.name]), held[entry.name], key=lambda hold: hold["expiresAt"])
    return found


def _check_scope(entries: Collection[str], held_already: Collection[str]) -> None:
    erasable = {entry.name: entry for entry in DATA_MAP if entry.disposition is Disposition.DELETE}
    if unknown := sorted(set(entries) - erasable.keys()):
        raise Refused(f"entries: {', '.join(unknown)}: not in the data map, or never erased.")
    if passing := sorted(name for name in entries if erasable[name].passing):
        raise Refused(f"entries: {', '.join(passing)}: gone by itself in minutes; hold what becomes of it.")
    if not entries or len({*entries, *held_already}) > len(erasable) // 2:
        raise Refused(
            "entries: name what the basis covers; a hold on everything, or nearly so, is refused, "
            "also one that becomes so together with those that are valid."
        )


def _check(basis: str, expires_at: datetime, now: datetime) -> None:
    if not basis.strip():
        raise Refused("basis: name the law and the case's reference.")
    if not now < expires_at <= now + MAX_HOLD:
        raise Refused("expires_at: must lie in the future, at most 366 days ahead; a longer hold is renewed.")
