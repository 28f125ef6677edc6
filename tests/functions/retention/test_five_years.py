"""Five simulated years over every entry that expires, with holds, renewals and ends of holds in any order.

What the sweep must do is known here from what was written alone: nothing goes before its time, nothing stays longer
than the next sweep unless it is held, and all that went is in the log.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.cloud import firestore
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from astra.datamap import expiry
from astra.erasure import legal_holds
from cli import retention
from tests.functions.retention.stored import Stored, of

DAY = timedelta(days=1)
NAMES = [entry.name for entry in expiry.entries()]
PEOPLE = ("ada", "bob", "cy")
HOLDABLE = [entry.name for entry in expiry.entries() if not entry.passing]


@dataclass
class Row:
    """What was written, until when it lives, and whether it has been looked at since."""

    name: str
    uid: str
    reference: firestore.DocumentReference
    until: datetime


@dataclass
class World:
    """What must be there."""

    stored: Stored
    rows: list[Row] = field(default_factory=list)
    held: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=dict)
    gone: Counter[str] = field(default_factory=Counter)

    @property
    def now(self) -> datetime:
        return self.stored.clock()

    def write(self, name: str, uid: str, number: int) -> None:
        """A row as its writer stamps it; an image with an end of its own."""
        item = f"item-{number:06}"
        if name == "image-records":
            reference = self.stored.image(uid, item, self.now + 200 * DAY)
        else:
            reference = self.stored.add(name, uid if "{uid}" in of(name).where else f"{uid}-{number}", item)
        self.rows.append(Row(name, uid, reference, (reference.get().to_dict() or {})["expireAt"]))

    def renew(self, number: int) -> None:
        """Somebody gives a row that has not expired another hundred days."""
        alive = [row for row in self.rows if row.until > self.now]
        if alive and (row := alive[number % len(alive)]).name == "image-records":
            row.until += 100 * DAY
            row.reference.update({"expireAt": row.until})

    def hold(self, name: str, uid: str, days: int) -> None:
        """A legal hold for so many days."""
        self.held.setdefault((name, uid), {})[self.stored.hold(uid, name, days=days)] = self.now + days * DAY

    def release(self, name: str, uid: str) -> None:
        """All of somebody's holds on an entry end before their time."""
        for hold in self.held.pop((name, uid), {}):
            legal_holds.release(self.stored.db, self.stored.platform.pseudonyms.of_uid(uid), hold, self.now)

    def is_held(self, row: Row) -> bool:
        return any(until > self.now for until in self.held.get((row.name, row.uid), {}).values())

    def sweep(self) -> None:
        """Sweep, and look whether that is what must be."""
        foreseen = {line.entry: line.going for line in retention.would_go(self.stored.platform) if line.entry in NAMES}
        before = self.stored.counted()
        self.stored.sweep()
        went: Counter[str] = Counter()
        for row in list(self.rows):
            fields = row.reference.get().to_dict()
            if row.until > self.now:
                assert fields is not None, f"{row.name} went before its time"
                assert not expiry.has_expired(fields, self.now)
            elif self.is_held(row):
                assert fields is not None, f"{row.name} went although it is held"
                assert expiry.has_expired(fields, self.now), "it would be served"
            elif fields is None:
                went[row.name] += 1
                self.rows.remove(row)
            else:
                # Only what was held until a moment ago, and for no longer than a day.
                assert fields["expireAt"] <= self.now + DAY, f"{row.name} stays for no reason"
                assert "expiredAt" in fields, f"{row.name} stays for no reason"
        assert self.stored.counted() - before == went, "the log says what went"
        assert Counter(foreseen) == went, "the dry run said so"


WRITE = st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(PEOPLE))
HOLD = st.tuples(st.just("hold"), st.sampled_from(HOLDABLE), st.sampled_from(PEOPLE), st.integers(1, 366))
RELEASE = st.tuples(st.just("release"), st.sampled_from(HOLDABLE), st.sampled_from(PEOPLE))
RENEW = st.tuples(st.just("renew"), st.integers(0, 9))
WAIT = st.tuples(st.just("wait"), st.sampled_from([0.01, 0.5, 1, 3, 30, 90, 200, 730]))


@pytest.mark.timeout(600)
@settings(
    max_examples=int(os.environ.get("SWEEP_EXAMPLES", "3")),
    deadline=None,
    derandomize="SWEEP_EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.one_of(WRITE, WRITE, HOLD, RELEASE, RENEW, WAIT, WAIT), min_size=10, max_size=30))
def test_whatever_happens_in_any_order(stored: Stored, steps: list[tuple[Any, ...]]) -> None:
    world = World(stored)
    for database in (stored.db,):
        for collection in ("users", "staff", "enrolments", "codes", "holds", "commitments", "rounds"):
            database.recursive_delete(database.collection(collection))
    for number, (what, *how) in enumerate(steps):
        match what:
            case "write":
                world.write(*how, number)
            case "wait":
                stored.clock.step(days=how[0])
                world.sweep()
            case _:
                getattr(world, what)(*how)
    stored.clock.step(days=4 * 366)  # longer than any life and any hold
    world.sweep()
    stored.clock.step(days=1)
    world.sweep()
    assert world.rows == []


@pytest.mark.timeout(600)
def test_five_years_in_which_something_is_written_every_fortnight(stored: Stored) -> None:
    world, number = World(stored), 0
    for fortnight in range(26 * 5):
        for name in NAMES:
            if (fortnight + len(name)) % 4 == 0:
                number += 1
                world.write(name, PEOPLE[number % 3], number)
        if fortnight % 13 == 5:
            world.hold(HOLDABLE[fortnight % len(HOLDABLE)], "ada", 100)
        stored.clock.step(days=14)
        if fortnight % 3 == 0:  # some sweeps were lost
            world.sweep()
    world.sweep()
    assert number > 150
