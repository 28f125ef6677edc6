"""A life has changed in the data map, or how long somebody may be away: what was stamped before is stamped anew.

Each entry has a job, which notes the life that it last went through all rows for. A page happens together with its
checkpoint. What expires is gone through in the order of its end, from now on: what has expired stays so. A row that now
lives longer may come up a second time, further on, and is as it should be. People are gone through by their ids. No
cursor names anybody: it is a time, or the shortest text between two ids.
"""

from collections import Counter
from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra import expiry, presence, tlog
from astra.clock import Clock
from astra.entries import Entry
from astra.expiry import EXPIRES
from astra.inactivity import at_auth
from astra.jobs import Atomic
from astra.platform import Platform
from astra.settings import RetentionSettings
from astra.sweep import ENDED, Snapshots

_PAGE: Final = 200
_PEOPLE: Final = 100
PROFILE: Final = "profile"

Life = float
"""In seconds."""


def lives(platform: Platform[RetentionSettings]) -> dict[str, Life]:
    """Every life that rows are stamped with, by entry. What passes within minutes is not worth going through."""
    fixed = {entry.name: entry.lives.total_seconds() for entry in expiry.entries() if entry.lives and not entry.passing}
    return {**fixed, PROFILE: platform.settings.inactive.total_seconds()}


def changed(life: Life) -> dict[str, Any]:
    """What a job begins with when it is to go through all rows for `life`."""
    return {"life": life, "cursor": None, "most": _PAGE, "counts": {}}


class Restamp:
    """Goes once through all rows of one entry. A job's pages; see `jobs`."""

    def __init__(self, platform: Platform[RetentionSettings], entry: Entry, now: Clock) -> None:
        self._platform, self._entry, self._now = platform, entry, now

    def page(self, job: dict[str, Any]) -> Atomic:
        """Stamp the next rows, those that are so already with no write."""
        assert self._entry.lives is not None  # noqa: S101  (one of `lives`)
        life, now = self._entry.lives, self._now()
        since = job["cursor"] or now
        rows = expiry.everybodys(self._platform.db, self._entry).order_by(EXPIRES)
        query = rows.where(filter=firestore.FieldFilter(EXPIRES, ">=", since)).select([EXPIRES])
        found = list(query.limit(job["most"]).stream())
        last = found[-1].get(EXPIRES) if found else since
        # More rows of one instant than a page holds: the next page is larger, or it would be the same again.
        going_on = {"cursor": last, "most": job["most"] * 2 if last == since else _PAGE}
        ends = len(found) < job["most"]

        def write(transaction: firestore.Transaction, read: Snapshots) -> dict[str, Any]:
            counts = Counter(job["counts"])
            for row in read:
                fields = row.to_dict() or {}
                begun = expiry.began(self._entry, fields)
                if begun is None or not self._entry.claims(row.reference.path):
                    continue
                if not expiry.has_expired(fields, now) and fields.get(EXPIRES) != begun + life:
                    transaction.update(row.reference, {EXPIRES: begun + life})
                    counts["stamped"] += 1
            if ends:
                _note(transaction, self._platform, self._entry.name, job["life"], counts)
            return {"counts": dict(counts), **(ENDED if ends else going_on)}

        return Atomic(write, tuple(row.reference for row in found))


class Presences:
    """Goes once through everybody, for how long they may be away; of who has no note yet, one is made."""

    def __init__(self, platform: Platform[RetentionSettings], now: Clock) -> None:
        self._platform, self._now = platform, now

    def page(self, job: dict[str, Any]) -> Atomic:
        """Note anew when the next people were here."""
        users = self._platform.db.collection("users")
        query = users.order_by("__name__").select([presence.FIELD])
        if job["cursor"]:
            query = query.where(filter=firestore.FieldFilter("__name__", ">=", users.document(job["cursor"])))
        found = list(query.limit(_PEOPLE + 1).stream())
        page, ends = found[:_PEOPLE], len(found) <= _PEOPLE
        known = at_auth(self._platform, [row.id for row in page]) if page else {}

        def write(transaction: firestore.Transaction, read: Snapshots) -> dict[str, Any]:
            counts = Counter(job["counts"])
            for row in read:
                account = known.get(row.id)
                note = self._noted(row.to_dict(), account.seen if account else None)
                if note:
                    transaction.update(row.reference, {presence.FIELD: note})
                    counts["stamped"] += 1
            if ends:
                _note(transaction, self._platform, PROFILE, job["life"], counts)
            going_on = ENDED if ends else {"cursor": _between(page[-1].id, found[-1].id)}
            return {"counts": dict(counts), **going_on}

        return Atomic(write, tuple(row.reference for row in page))

    def _noted(self, profile: dict[str, Any] | None, seen: datetime | None) -> dict[str, Any] | None:
        """What somebody's note should be; None if it is, or there is nobody."""
        if profile is None or profile.get("state") == "erasing":
            return None
        noted: dict[str, Any] | None = profile.get(presence.FIELD)
        if noted is None:
            return presence.seen(self._platform.settings, seen or self._now())
        anew = presence.seen(self._platform.settings, noted["seenAt"])
        # Who was warned already goes on with what they were told, unless they have longer now.
        if noted["warnings"] and anew["dueAt"] <= self._now():
            return None
        return anew if anew != noted else None


def _between(first: str, second: str) -> str:
    """The shortest text after `first` up to `second`."""
    return next(second[:end] for end in range(1, len(second) + 1) if second[:end] > first)


def _note(
    transaction: firestore.Transaction,
    platform: Platform[RetentionSettings],
    name: str,
    life: Life,
    counts: "Counter[str]",
) -> None:
    record = {"entry": name, "lifeSeconds": int(life), "stamped": counts["stamped"]}
    logged = tlog.Entry(tlog.Action.LIFE_CHANGED, record, platform.clock())
    tlog.append(transaction, platform.db, logged)
