"""The cohort of a campaign, in order of account ids, a page at a time.

Everybody: read a few pages ahead, and outside of the transactions that tell them: those would keep hundreds of people
from changing their profiles while they last. They ask for one thing instead: whose erasure has begun since. An erasure
buries its tombstone before anything else, and in one commit with the change of the profile: it is seen there, or it
waits until the page is written and then deletes what the page wrote.

A list: its rows, and the profiles of whoever is on it, in the transaction itself.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final, Protocol

from google.cloud import firestore

from astra.accounts import tombstones
from astra.accounts.state import ProfileState
from astra.notices import deliveries, inbox
from astra.notices.deliveries import DELIVERIES
from astra.runtime.cursors import cut
from astra.runtime.documents import fetch, read_plain
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

_MAX_READ_AGE: Final = timedelta(minutes=2)
_CLOCK_MARGIN: Final = timedelta(minutes=5)
"""Longer than from when an erasure takes the time until its tombstone is there, and than clocks differ."""
_MAX_PAGES_AHEAD: Final = 5
"""Read by one query: a task that stops has paid for this many in vain, at most."""
_LATER: Final = "later"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of the cohort."""

    uid: str
    state: str
    """A ProfileState: ERASING too if the profile is deleted; _LATER if it was not there yet."""
    facts: Mapping[str, str] | None = None
    """What is told to them alone, of somebody on a list."""

    @property
    def is_gone(self) -> bool:
        """Whether nothing is to be told to them any more."""
        return self.state == ProfileState.ERASING

    @property
    def is_late(self) -> bool:
        """Whether they were told when they came, after the cohort was frozen."""
        return self.state == _LATER

    @property
    def is_active(self) -> bool:
        """Whether they can sign in."""
        return self.state == ProfileState.ACTIVE


class Members(Protocol):
    """The members in a range of account ids."""

    def prepare(self, job: dict[str, Any], most: int) -> None:
        """Read for a page of `most` what is to be read before the transaction."""

    def page(
        self, transaction: firestore.Transaction, job: dict[str, Any], most: int
    ) -> tuple[list[Member], str | None]:
        """The next members, and where the page after them begins; None after the last."""


class Everybody:
    """Whoever has a profile that was there at `frozen_at`."""

    def __init__(self, platform: Platform[Settings], frozen_at: datetime) -> None:
        self._platform, self._db, self._frozen_at = platform, platform.db, frozen_at
        self._ahead: list[Member] = []
        self._is_last = False
        self._read_at: datetime | None = None
        self._first = ""

    def prepare(self, job: dict[str, Any], most: int) -> None:
        """Read the next pages and one more member, unless one page is there and neither another's nor stale."""
        now, cursor = self._platform.clock(), job["cursor"]
        is_stale = self._read_at is None or cursor < self._first or now - self._read_at > _MAX_READ_AGE
        self._ahead = [] if is_stale else self._from(cursor)
        if is_stale or (len(self._ahead) <= most and not self._is_last):
            # Of the first members, no more than these: each is paid for.
            limit = min(_MAX_PAGES_AHEAD * most, job.get("left", _MAX_PAGES_AHEAD * most)) + 1
            self._ahead = self._read(cursor, job["end"], limit)
            self._read_at, self._first, self._is_last = now, cursor, len(self._ahead) != limit

    def page(
        self, transaction: firestore.Transaction, job: dict[str, Any], most: int
    ) -> tuple[list[Member], str | None]:
        """Of those who were read."""
        erased = tombstones.since(transaction, self._db, (self._read_at or self._frozen_at) - _CLOCK_MARGIN)
        found = self._from(job["cursor"])[: most + 1]
        taken, cursor = cut([member.uid for member in found], most)
        found = found[:taken]
        if erased:
            name = self._platform.pseudonyms.of_uid
            found = [
                Member(one.uid, ProfileState.ERASING) if not one.is_late and name(one.uid) in erased else one
                for one in found
            ]
        return found, cursor

    def _from(self, cursor: str) -> list[Member]:
        return self._ahead[bisect_left(self._ahead, cursor, key=attrgetter("uid")) :]

    def _read(self, first: str, end: str | None, limit: int) -> list[Member]:
        query = _between(self._db.collection("users").select(["createdAt", "state"]), first, end, self._place)
        return read_plain(self._db, query.limit(limit)._to_protobuf(), self._member)

    def _member(self, document: Any) -> Member:
        fields, uid = document.fields, document.name.rpartition("/")[2]
        created = fields["createdAt"].timestamp_value
        frozen_at = (int(self._frozen_at.timestamp()), self._frozen_at.microsecond * 1000)
        late = (created.seconds, created.nanos) > frozen_at
        return Member(uid, _LATER if late else fields["state"].string_value or ProfileState.ACTIVE)

    def _place(self, uid: str) -> firestore.DocumentReference:
        return self._db.document("users", uid)


class Newcomers(Everybody):
    """Whoever signed up between these times and was not told then: few, and found by when they came. Machines' clocks
    differ, so it asks for somewhat more, and looks what each was told."""

    def __init__(self, platform: Platform[Settings], name: str, since: datetime, until: datetime) -> None:
        super().__init__(platform, until + _CLOCK_MARGIN)
        self._name, self._since = name, since - _CLOCK_MARGIN

    def page(
        self, transaction: firestore.Transaction, job: dict[str, Any], most: int
    ) -> tuple[list[Member], str | None]:
        """Of those who were read; who is told already, or gone, was no member of it."""
        found, cursor = super().page(transaction, job, most)
        there = (inbox.reference(self._db, one.uid, self._name) for one in found)
        by_mail = (deliveries.row_of(self._db, one.uid, self._name) for one in found)
        known = {
            stored.reference.path.split("/")[1]
            for stored in fetch(self._db, *there, *by_mail, transaction=transaction)
            if stored.exists
        }
        return [Member(one.uid, _LATER) if one.is_gone or one.uid in known else one for one in found], cursor

    def _read(self, first: str, *_: Any) -> list[Member]:
        users = self._db.collection("users").select(["createdAt", "state"])
        for sign, bound in ((">=", self._since), ("<=", self._frozen_at)):
            users = users.where(filter=firestore.FieldFilter("createdAt", sign, bound))
        found = read_plain(self._db, users._to_protobuf(), self._member)
        return sorted((member for member in found if member.uid >= first), key=attrgetter("uid"))


class Listed:
    """Whoever is on the list of a campaign."""

    def __init__(self, platform: Platform[Settings], name: str) -> None:
        self._db, self._name = platform.db, name

    def prepare(self, job: dict[str, Any], most: int) -> None:
        """Nothing: a list is short, and what it says of somebody must be there still."""

    def page(
        self, transaction: firestore.Transaction, job: dict[str, Any], most: int
    ) -> tuple[list[Member], str | None]:
        """Read now."""
        on_list = firestore.FieldFilter("campaign", "==", self._name)
        rows = self._db.collection_group(DELIVERIES).where(filter=on_list)
        query = _between(rows, job["cursor"], job["end"], self._place).limit(most + 1)
        found = {row.reference.path.split("/")[1]: row for row in query.get(transaction=transaction)}
        taken, cursor = cut(list(found), most)
        profiles = [self._db.document("users", uid) for uid in list(found)[:taken]]
        states = {
            profile.id: (profile.to_dict() or {"state": ProfileState.ERASING}).get("state", ProfileState.ACTIVE)
            for profile in fetch(self._db, *profiles, transaction=transaction, fields=["state"])
        }
        return [Member(one.id, states[one.id], found[one.id].get("facts")) for one in profiles], cursor

    def _place(self, uid: str) -> firestore.DocumentReference:
        return deliveries.row_of(self._db, uid, self._name)


def _between(query: firestore.Query, first: str, end: str | None, place: Any) -> firestore.Query:
    for sign, bound in ((">=", first), ("<", end)):
        if bound:
            query = query.where(filter=firestore.FieldFilter("__name__", sign, place(bound)))
    return query.order_by("__name__")
