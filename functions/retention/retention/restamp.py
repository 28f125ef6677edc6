"""Restamping: stored documents follow a changed retention period.

Each entry has a job, which notes the life that it last went through all rows for; it goes through them whether they are
stamped or not, so that a life which is new in the map reaches them, and one which is no longer there lets go of them. A
day later it goes through them once more: others who write such rows may not have known the new map yet. A page happens
together with its checkpoint. What has expired stays so.

No cursor names anybody: it is the shortest text between two account ids, and below somebody who has more rows than a
page holds, between two of theirs. Should that person be erased just then, some rows of the next may be passed over: the
second time they are not.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra import tlog
from astra.accounts import activity
from astra.accounts.honeytokens import is_honey
from astra.accounts.state import ProfileState
from astra.datamap import expiry
from astra.datamap.expiry import EXPIRED, EXPIRES
from astra.datamap.model import Entry
from astra.jobs import Atomic
from astra.runtime.clock import Clock
from astra.runtime.cursors import between, cut
from astra.runtime.platform import Platform

from retention.documents import ENDED, Snapshots
from retention.inactivity import at_auth
from retention.settings import RetentionSettings

_PAGE_DOCUMENTS: Final = 200
_PAGE_PEOPLE: Final = 100
_LEAST: Final = "\x01"
"""Before any id."""
_RETRY_DELAY: Final = timedelta(days=1)
PROFILE: Final = "profile"

Life = float | None
"""In seconds; None for as long as the account is active."""


def lives(platform: Platform[RetentionSettings]) -> dict[str, Life]:
    """How long rows live, by entry; but for what passes within minutes, or has ends of its own."""
    fixed = {
        entry.name: entry.lives.total_seconds() if entry.lives else None
        for entry in expiry.lasting()
        if entry.lives or not entry.may_expire
    }
    return {**fixed, PROFILE: platform.settings.inactive.total_seconds()}


def changed(life: Life) -> dict[str, Any]:
    """What a job begins with when it is to go through all rows for `life`."""
    return {"life": life, "cursor": None, "counts": {}, "again": None, "last": False}


def once_more(life: Life) -> dict[str, Any]:
    """What it begins with the second time."""
    return changed(life) | {"last": True}


class Restamp:
    """Goes once through all rows of one entry. A job's pages; see `jobs`."""

    def __init__(self, platform: Platform[RetentionSettings], entry: Entry, now: Clock) -> None:
        self._platform, self._entry, self._now = platform, entry, now
        self._top, _, *self._below = entry.where.split("/")

    def page(self, job: dict[str, Any]) -> Atomic:
        """Change the next rows; those that are as they should be are not even read again."""
        now, found = self._now(), self._read(job["cursor"] or "", _PAGE_DOCUMENTS + 1)
        page, ends = found[:_PAGE_DOCUMENTS], len(found) <= _PAGE_DOCUMENTS
        stale = [row.reference for row in page if self._is_ours(row) and self._changes(row.to_dict() or {}, now)]

        def write(transaction: firestore.Transaction, read: Snapshots) -> dict[str, Any]:
            counts = Counter(job["counts"])
            for row in read:
                if changes := self._changes(row.to_dict() or {}, now):
                    transaction.update(row.reference, changes)
                    counts["stamped"] += 1
            if ends:
                return _ended(transaction, self._platform, self._entry.name, job, counts)
            return {"counts": dict(counts), "cursor": _after([row.reference.path for row in found], job["cursor"])}

        return Atomic(write, tuple(stale))

    def _read(self, cursor: str, most: int) -> Snapshots:
        """The next rows, by the ids of their people."""
        first, _, item = cursor.partition("/")
        if item:
            whose = self._read(first, 1)
            if not whose:
                return []
            first = whose[0].reference.path.split("/")[1]
        below = (self._below[0], item or _LEAST) if self._below else ()
        place = self._platform.db.document(self._top, first or _LEAST, *below)
        rows = expiry.everybodys(self._platform.db, self._entry).order_by("__name__")
        query = rows.where(filter=firestore.FieldFilter("__name__", ">=", place))
        fields = {name.partition(".")[0] for name in self._entry.since}
        found = query.select([EXPIRES, EXPIRED, *sorted(fields)]).limit(most).get()
        # Collections that are called alike below others come after.
        return [row for row in found if row.reference.path.startswith(f"{self._top}/")]

    def _is_ours(self, row: "firestore.DocumentSnapshot[Any]") -> bool:
        path, names = row.reference.path, self._platform.pseudonyms
        return self._entry.claims(path) and not is_honey(names, path.split("/")[1])

    def _changes(self, fields: dict[str, Any], now: datetime) -> dict[str, Any]:
        """What is to be changed in a row, as read."""
        if self._entry.lives is None:
            return {name: firestore.DELETE_FIELD for name in (EXPIRES, EXPIRED) if name in fields}
        begun = expiry.began(self._entry, fields)
        if begun is None or expiry.has_expired(fields, now) or fields.get(EXPIRES) == begun + self._entry.lives:
            return {}
        return {EXPIRES: begun + self._entry.lives}


class Presences:
    """Goes once through everybody, for how long they may be away; of who has no note yet, one is made."""

    def __init__(self, platform: Platform[RetentionSettings], now: Clock) -> None:
        self._platform, self._now = platform, now

    def page(self, job: dict[str, Any]) -> Atomic:
        """Note anew when the next people were here."""
        users = self._platform.db.collection("users")
        query = users.order_by("__name__").select([activity.FIELD])
        if job["cursor"]:
            query = query.where(filter=firestore.FieldFilter("__name__", ">=", users.document(job["cursor"])))
        found = query.limit(_PAGE_PEOPLE + 1).get()
        most, cursor = cut([row.id for row in found], _PAGE_PEOPLE)
        people = [row for row in found[:most] if not is_honey(self._platform.pseudonyms, row.id)]
        known = at_auth(self._platform, [row.id for row in people])

        def write(transaction: firestore.Transaction, read: Snapshots) -> dict[str, Any]:
            counts = Counter(job["counts"])
            for row in read:
                account = known.get(row.id)
                note = self._noted(row.to_dict(), account.seen if account else None)
                if note:
                    transaction.update(row.reference, {activity.FIELD: note})
                    counts["stamped"] += 1
            if cursor is None:
                return _ended(transaction, self._platform, PROFILE, job, counts)
            return {"counts": dict(counts), "cursor": cursor}

        return Atomic(write, tuple(row.reference for row in people))

    def _noted(self, profile: dict[str, Any] | None, seen: datetime | None) -> dict[str, Any] | None:
        """What somebody's note should be; None if it is, or there is nobody."""
        if profile is None or profile.get("state") == ProfileState.ERASING:
            return None
        noted: dict[str, Any] | None = profile.get(activity.FIELD)
        if noted is None:
            return activity.seen(self._platform.settings, seen or self._now())
        anew = activity.seen(self._platform.settings, noted["seenAt"])
        # Who was warned already goes on with what they were told, unless they have longer now.
        if noted["warnings"] and anew["dueAt"] <= self._now():
            return None
        return anew if anew != noted else None


def _after(paths: list[str], cursor: str | None) -> str:
    """Where the page after these begins, of which the last is its first: a text between two ids of people, or such a
    text, a slash, and one between the ids of two rows of whoever comes first from there on."""
    *whole, last, following = (path.split("/") for path in paths)
    if last[1] != following[1]:
        return between(last[1], following[1])
    before = next((parts[1] for parts in reversed(whole) if parts[1] != last[1]), None)
    first = between(before, last[1]) if before else (cursor or "").partition("/")[0]
    return f"{first}/{between(last[3], following[3])}"


def _ended(
    transaction: firestore.Transaction,
    platform: Platform[RetentionSettings],
    name: str,
    job: dict[str, Any],
    counts: "Counter[str]",
) -> dict[str, Any]:
    """Log that all rows were gone through, unless nothing was found the second time. Answers how the job ends."""
    life, now = job["life"], platform.clock()
    if counts["stamped"] or not job["last"]:
        seconds = None if life is None else int(life)
        record = {"entry": name, "lifeSeconds": seconds, "stamped": counts["stamped"]}
        tlog.append(transaction, platform.db, tlog.Entry(tlog.Action.LIFE_CHANGED, record, now))
    return {"counts": dict(counts), **ENDED, "again": None if job["last"] else now + _RETRY_DELAY}
