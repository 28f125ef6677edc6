"""The erasure under everything that can go wrong, in any order, over the real stores, watched by an oracle of its own.

`make test` takes some hundred steps, always the same ones. `make soak` goes on with new ones until 10,000 were taken.
"""

from __future__ import annotations

import base64
import os
import random
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import firebase_admin
import httpx
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firebase_admin import auth
from firebase_functions.https_fn import HttpsError
from google.cloud import firestore
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from astra import erasure
from astra.accounts import tombstones
from astra.datamap.lookup import claimant
from astra.datamap.model import Store
from astra.datamap.table import DATA_MAP, NOT_PERSONAL
from astra.erasure import legal_holds, roll_call
from astra.jobs import MAX_ATTEMPTS
from astra.runtime import rate_limits
from astra.runtime.callables import Call, Caller
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.vault import vault_of
from cli import erasure as erasure_command
from cli import policies
from erasure import items, request_handlers
from local.stand_ins.http_server import Fault
from local.stand_ins.replicate import ReplicateStandIn
from tests.conftest import SteppedClock, WholeSettings
from tests.functions.erasure.boundaries import Boundaries, Mishap, crash, refused, unreachable
from tests.functions.erasure.oracle import Oracle, Thing, Things
from tests.support.people import own_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from local.stack.stack import Stack

PROJECT, BUCKET = "demo-machine", "demo-machine-bucket"
ONE_PAGE, TO_THE_END = timedelta(0), timedelta(minutes=1)
LEASE = timedelta(minutes=5)
LONGEST_RUN = timedelta(minutes=30)
"""Of a prediction at Replicate."""
ALWAYS = 10**9
MOST_PEOPLE = 4
MOST_CALLS = 2000
"""Requests of one delivery: more would be a loop without an end."""

KEYS = ("vault", r"keys/{uid}(/objects/[^/]+)?")
HOLDABLE = {
    "replicate-artefacts": [("replicate", r"files/.+")],
    "sealed-images": [("storage", r"images/{uid}/.+"), KEYS],
    "image-records": [("firestore", r"users/{uid}/images/[^/]+")],
    "prompts": [("firestore", r"users/{uid}/prompts/[^/]+"), KEYS],
    "predictions": [("firestore", r"users/{uid}/predictions/[^/]+")],
    "events": [("firestore", r"users/{uid}/events/[^/]+")],
    "profile": [("firestore", r"users/{uid}")],
    "account": [("auth", r"{uid}")],
}
"""What must stay where these entries are held, and what opens it."""
ITEMS = {
    "image": r"(storage (incoming|images|thumbs)/{uid}|firestore users/{uid}/images|vault keys/{uid}/objects)/{item}",
    "prompt": r"firestore users/{uid}/prompts/{item}",
    "event": r"firestore users/{uid}/events/{item}",
}
"""What one thing of a person consists of."""
GUARDED, UNGUARDED = ("record", "seal"), ("upload", "stray", "key", "count")
"""Writes by those who look for the tombstone, as all must, and by some who don't."""

STORE_OF = {entry.name: entry.store for entry in DATA_MAP} | {f"unmapped-{store}": store for store in Store}
"""Where what is counted under a name was."""
DELETIONS = st.sampled_from([("replicate", "DELETE"), ("http", "DELETE"), ("redis", "UNLINK"), ("firestore", "commit")])
"""How each store is asked to delete: of what goes over HTTP, DELETE is an object's."""

AT = st.one_of(st.integers(1, 12), st.integers(1, 60))
STORES = st.sampled_from([None, "firestore", "http", "http", "redis", "replicate"])


def tally(things: Iterable[tuple[str, str]]) -> Counter[str]:
    """How many there are in each store of what is deleted and counted."""
    return Counter(
        store for store, place in things if not (place.startswith("predictions/") or place.endswith(":keys"))
    )


class Tasks:
    """The queue, which delivers nothing by itself: what, when and how often is the machine's to choose."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def hint(self, job: str, _at: datetime | None = None) -> None:
        """Note that `job` is to be looked at."""
        self.jobs.append(job)


@dataclass
class World:
    """What all examples share."""

    platform: Platform[Any]
    clock: SteppedClock
    oracle: Oracle
    boundaries: Boundaries
    replicate: ReplicateStandIn
    steps: int = 0
    erasures: int = 0
    certificates: int = 0

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.erasures} erasures, {self.certificates} certificates"


@dataclass(eq=False)
class Hold:
    """A legal hold, and what was there to keep when it was placed."""

    id: str
    until: datetime
    entries: list[str]
    kept: Things = field(repr=False)


@dataclass(eq=False, repr=False)
class Person:
    """Somebody, and what the machine knows of them."""

    uid: str
    email: str
    subject: str
    found_by: re.Pattern[str]
    joined: datetime
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    prediction: str = ""
    leaving: bool = False
    """They asked to be erased, or their account was deleted."""
    dirty: bool = False
    """Something came after the verification: the next roll call's to find."""
    tombstone_lost: bool = False
    undisturbed: Things | None = None
    certificate: dict[str, Any] | None = None
    existed: Counter[str] = field(default_factory=Counter)
    """Since the last certificate: what an erasure can have deleted, by store."""
    holds: list[Hold] = field(default_factory=list)
    items: list[tuple[str, str]] = field(default_factory=list)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(self.uid)


def whom(those: str) -> Any:
    """One of the machine's lists of people, by its name: what it knows by itself, so that steps can be repeated."""
    return st.runner().flatmap(lambda machine: st.sampled_from(getattr(machine, those)))


def some(those: str) -> Any:
    """Only while there is one of them."""
    return precondition(lambda machine: bool(getattr(machine, those)))


class Machine(RuleBasedStateMachine):
    """Steps, in any order."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.platform, self.clock = world, world.platform, world.clock
        self.replicate, self.tasks = world.replicate, Tasks()
        self.people: list[Person] = []
        self.things: Things = {}
        self.poison: Fault | None = None
        self.refusal: Mishap | None = None
        self.written = 0
        self.trouble: list[Exception] = []
        self.redis = self.platform.redis
        world.oracle.empty()
        self.replicate.faults.clear()
        for place, _ in self.replicate.holdings():
            if place.startswith("predictions/"):
                self.replicate.finish(place.removeprefix("predictions/"))
        self.replicate.expire(timedelta(days=2))
        policies.publish_first(self.platform.db)
        on = roll_call.switched(enabled=True, report=None, approvers=[], now=self.clock())
        roll_call.switch(self.platform.db).set(on)

    @property
    def active(self) -> list[Person]:
        return [person for person in self.people if not person.leaving]

    @property
    def leaving(self) -> list[Person]:
        return [person for person in self.people if person.leaving]

    @property
    def under_way(self) -> list[Person]:
        return [person for person in self.leaving if self.state(person) == "running"]

    # What happens to people

    @initialize()
    def two_who_look_alike(self) -> None:
        self.join("ada7c1e5")
        self.join("ada7c1e5x")

    @precondition(lambda self: len(self.people) < MOST_PEOPLE)
    @rule(alike=st.sampled_from(["x{}", "{}y", "x{}x"]), of=whom("people"))
    def joins(self, alike: str, of: Person) -> None:
        uid = alike.format(of.uid)
        if uid not in [person.uid for person in self.people]:
            self.join(uid)

    @some("active")
    @rule(person=whom("active"))
    def asks(self, person: Person) -> None:
        assert erasure.begin(self.platform, person.uid, self.clock())
        self.tasks.hint(person.subject)
        self.leaves(person)

    @some("leaving")
    @rule(person=whom("leaving"))
    def asks_again(self, person: Person) -> None:
        job = self.job(person)
        if not job:
            return
        assert not erasure.begin(self.platform, person.uid, self.clock())
        self.look()
        assert self.job(person) == job

    @some("active")
    @rule(person=whom("active"))
    def is_deleted_in_the_console(self, person: Person) -> None:
        if not any("account" in hold.entries for hold in person.holds):
            auth.delete_user(person.uid, app=self.platform.app)
            person.existed["auth"] -= 1  # no erasure may count it
            self.leaves(person)

    @rule(person=whom("people"), kind=st.sampled_from(GUARDED * 3 + UNGUARDED))
    def writes(self, person: Person, kind: str) -> None:
        self.write(person, kind)

    @rule(
        person=whom("people"),
        which=st.integers(0, 9),
        mishap=st.sampled_from([None, crash, refused]),
        at=st.integers(1, 12),
    )
    def deletes_one_thing(self, person: Person, which: int, mishap: Any, at: int) -> None:
        kind, item = person.items[which % len(person.items)]
        call = Call(items.DeleteItem(kind=kind, id=item), Caller(person.uid, self.clock(), ""))  # type: ignore[arg-type]
        before, buried = self.of(person), self.buried(person)
        parts = re.compile(ITEMS[kind].format(uid=person.uid, item=re.escape(item)))
        done, refusal = False, None
        with self.world.boundaries.armed(mishap and Mishap(at, after=False, strike=mishap)):
            try:
                items.delete_item(self.platform, call)
                done = True
            except HttpsError as error:
                refusal = error
        self.look()
        after = self.of(person)
        gone = {" ".join(key) for key in before.keys() - after.keys()}
        person.existed -= tally(before.keys() - after.keys())  # no erasure may count it
        assert all(parts.fullmatch(place) for place in gone), gone
        assert not (done and buried), "nobody's things are deleted one by one while they are erased"
        if done:
            assert not [key for key in after if parts.fullmatch(" ".join(key))]
        if refusal:
            assert not gone
            assert buried or person.holds
        key, prompt = f"keys/{person.uid}/objects/{item}", f"users/{person.uid}/prompts/{item}"
        for hold in person.holds:
            # An image's key goes with it, unless its prompt is held.
            if f"vault {key}" in gone and ("firestore", prompt) not in hold.kept:
                hold.kept.pop(("vault", key), None)
        if not person.leaving:
            person.undisturbed = None

    # What happens to the work

    @some("leaving")
    @rule(person=whom("leaving"), budget=st.sampled_from([ONE_PAGE, TO_THE_END]))
    def a_task_comes(self, person: Person, budget: timedelta) -> None:
        self.await_turn(person)
        self.work(person, budget)

    @some("leaving")
    @rule(person=whom("leaving"), budget=st.sampled_from([ONE_PAGE, TO_THE_END]), times=st.integers(1, 2))
    def a_task_comes_at_any_time(self, person: Person, budget: timedelta, times: int) -> None:
        for _ in range(times):
            self.work(person, budget)

    @some("under_way")
    @rule(person=whom("under_way"), at=AT, store=STORES, after=st.booleans())
    def a_worker_crashes(self, person: Person, at: int, store: str | None, after: bool) -> None:
        self.await_turn(person)
        self.work(person, TO_THE_END, Mishap(at, after, crash, store))

    @some("under_way")
    @rule(
        person=whom("under_way"),
        at=AT,
        store=STORES,
        after=st.booleans(),
        times=st.sampled_from([1, 2, 8]),
        fault=st.sampled_from([unreachable, refused]),
    )
    def a_store_fails(
        self, person: Person, at: int, store: str | None, after: bool, times: int, fault: Callable[[str], Any]
    ) -> None:
        self.await_turn(person)
        self.work(person, TO_THE_END, Mishap(at, after, fault, store, times=times))

    @rule(at=st.integers(1, 3), how=DELETIONS)
    def a_deletion_will_be_refused(self, at: int, how: tuple[str, str]) -> None:
        def strike(store: str) -> Any:
            self.refusal = None
            return refused(store)

        store, method = how
        self.refusal = Mishap(at, after=False, strike=strike, store=store, method=method)

    @some("under_way")
    @rule(
        person=whom("under_way"),
        at=AT,
        store=STORES,
        after=st.booleans(),
        budget=st.sampled_from([ONE_PAGE, TO_THE_END]),
    )
    def a_worker_outlives_its_lease(
        self, person: Person, at: int, store: str | None, after: bool, budget: timedelta
    ) -> None:
        self.await_turn(person)
        fences, left = [self.job(person).get("fence", 0)], list[Things]()

        def meanwhile() -> None:
            self.look()
            fences.append(self.job(person).get("fence", 0))
            self.pass_by(LEASE + timedelta(minutes=1))
            self.work(person, budget)
            fences.append(self.job(person).get("fence", 0))
            left.append(self.world.oracle.documents("firestore"))

        self.work(person, TO_THE_END, Mishap(at, after, self.noting(meanwhile), store, outside=True))
        if left and fences[0] < fences[1] < fences[2]:  # it was at work, and another took over
            assert self.world.oracle.documents("firestore") == left[0]

    @some("leaving")
    @rule(
        person=whom("leaving"),
        at=AT,
        store=STORES,
        after=st.booleans(),
        kinds=st.lists(st.sampled_from(GUARDED * 2 + UNGUARDED), min_size=1, max_size=3),
    )
    def writes_race(self, person: Person, at: int, store: str | None, after: bool, kinds: list[str]) -> None:
        self.await_turn(person)
        # Behind the verifier's back, or after it: then the roll call is what finds it.
        late = self.job(person).get("step") in ("verify", None)

        def meanwhile() -> None:
            self.look()
            for kind in kinds:
                # What nobody but the verifier looks for can't come once it has looked: the quiet period is over.
                if not (late and kind == "count"):
                    self.write(person, kind)
            person.dirty = late
            self.look()

        self.work(person, TO_THE_END, Mishap(at, after, self.noting(meanwhile), store, outside=True))

    @some("under_way")
    @rule(person=whom("under_way"))
    def two_workers_come_at_once(self, person: Person) -> None:
        self.await_turn(person)
        fence = self.job(person).get("fence", 0)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: self.erase(person, TO_THE_END), range(2)))
        self.look()
        assert self.job(person).get("fence", 0) - fence <= 1

    @rule(duration=st.sampled_from([{"minutes": 1}, {"minutes": 6}, {"hours": 2}, {"hours": 25}]))
    def time_passes(self, duration: dict[str, float]) -> None:
        self.pass_by(timedelta(**duration))

    @rule(at=st.one_of(st.none(), st.integers(1, 60)))
    def the_reconciler_runs(self, at: int | None) -> None:
        mishap = Mishap(at, after=False, strike=crash) if at else None
        with self.world.boundaries.armed(mishap):
            request_handlers.reconcile(self.platform, self.tasks, TO_THE_END)  # type: ignore[arg-type]

    @rule(store=st.sampled_from([Store.REDIS, Store.REPLICATE]))
    def a_store_comes_and_goes(self, store: Store) -> None:
        if store is Store.REPLICATE:
            self.replicate_comes_and_goes()
            return
        dead = self.platform.redis is not self.redis
        self.platform.__dict__["redis"] = self.redis if dead else rate_limits.connect("redis://127.0.0.1:9/0")

    def replicate_comes_and_goes(self) -> None:
        down = [fault for fault in self.replicate.faults if fault is not self.poison]
        for fault in down:
            self.replicate.faults.remove(fault)
        if not down:
            self.replicate.faults.append(Fault("/v1", 503, times=ALWAYS))

    @precondition(lambda self: self.poison is None)
    @rule(person=whom("people"))
    def one_record_is_poison(self, person: Person) -> None:
        self.poison = Fault(f"/v1/predictions/{person.prediction}", 500, times=ALWAYS)
        self.replicate.faults.insert(0, self.poison)

    # What the law and backups do

    @rule(
        person=whom("people"),
        entries=st.lists(st.sampled_from(sorted(HOLDABLE)), min_size=1, max_size=3, unique=True),
        days=st.sampled_from([1, 10]),
    )
    def something_is_held(self, person: Person, entries: list[str], days: int) -> None:
        if self.state(person) == "verified":
            return
        until = self.clock() + timedelta(days=days)
        case = {"basis": "GDPR art. 17(3)(e), case 7", "approvers": ["r.hopper", "k.johnson"]}
        hold_id = legal_holds.place(
            self.platform.db,
            person.subject,
            entries=entries,
            expires_at=until,
            now=self.clock(),
            **case,  # type: ignore[arg-type]
        )
        kept: Things = {}
        for name in entries:
            content, *keys = [
                {
                    (store, place): thing
                    for (store, place), thing in self.of(person).items()
                    if store == wanted and re.fullmatch(pattern.format(uid=person.uid), place)
                }
                for wanted, pattern in HOLDABLE[name]
            ]
            # Keys to nothing are kept for nobody.
            for things in (content, *keys) if content else ():
                kept |= things
        person.holds.append(Hold(hold_id, until, entries, kept))

    @rule(person=whom("people"))
    def holds_are_released(self, person: Person) -> None:
        while person.holds:
            legal_holds.release(self.platform.db, person.subject, person.holds.pop().id, self.clock())  # type: ignore[arg-type]

    @some("leaving")
    @rule(person=whom("leaving"), lost=st.sampled_from([(), ("tombstones",), ("tombstones", "erasures")]))
    def a_backup_is_restored(self, person: Person, lost: tuple[str, ...]) -> None:
        if self.state(person) != "verified":
            return
        batch = self.platform.db.batch()
        for path, fields in person.documents.items():
            batch.set(self.platform.db.document(path), fields)
        for collection in lost:
            batch.delete(self.platform.db.document(collection, person.subject))
        batch.commit()
        person.dirty = True
        person.tombstone_lost |= "tombstones" in lost

    # What must hold at each moment

    @invariant()
    def all_is_well(self) -> None:
        self.world.steps += 1
        self.check()

    def check(self) -> None:
        self.look()
        for person in self.people:
            theirs, job = self.of(person), self.job(person)
            if person.leaving:
                self.check_leaving(person, job, theirs)
            elif person.undisturbed is None:
                person.undisturbed = theirs
            else:
                assert self.lasting(person, theirs) == self.lasting(person, person.undisturbed), "nobody asked for that"
            for hold in person.holds:
                if hold.until > self.clock():
                    self.check_held(person, hold, theirs)

    def check_leaving(self, person: Person, job: dict[str, Any], theirs: Things) -> None:
        if job and job["state"] != "verified":
            person.dirty = person.tombstone_lost = False
            person.certificate = None
        if job and not person.tombstone_lost:
            assert ("firestore", f"tombstones/{person.subject}") in self.things
        if job and job.get("step") not in ("freeze",) and not person.dirty:
            assert ("vault", f"tombstones/{person.subject}") in self.things
        if not job or job["state"] != "verified":
            assert not job or job["state"] in ("running", "stuck")
            counts = job.get("counts", {}).items()
            self.check_counts(person, theirs, [(STORE_OF[name], count) for name, count in counts])
            return
        if person.certificate is None:
            self.check_certificate(person, theirs, job["certificate"])
            person.certificate = job["certificate"]
            person.existed = tally(theirs)
            self.world.certificates += 1
        assert job["certificate"] == person.certificate, "there is one certificate"
        assert job["nextRunAt"] is None
        if not person.dirty:
            left = self.beyond_promise(person, theirs)
            assert left == [], f"a verified erasure left {[(key, theirs[key]) for key in left]}"

    def beyond_promise(self, person: Person, theirs: Things) -> list[tuple[str, str]]:
        """What is left of an erased person, without what their certificate says that Replicate drops by itself."""
        residual = {line["copy"]: line["until"] for line in (person.certificate or {}).get("residual", [])}
        replicate_until = datetime.fromisoformat(residual.get("replicate", "2000-01-01T00:00:00+00:00"))
        return [
            (store, place)
            for store, place in theirs
            if not (store == "replicate" and place.startswith("predictions/") and self.clock() < replicate_until)
        ]

    def check_counts(self, person: Person, theirs: Things, counts: Iterable[tuple[str, int]]) -> None:
        """Nothing is counted as deleted but what was there and is there no more."""
        deleted: Counter[str] = Counter()
        for store, count in counts:
            deleted[store] += count
        gone = person.existed - tally(theirs)
        assert deleted <= gone, (deleted, gone)

    def check_certificate(self, person: Person, theirs: Things, certificate: dict[str, Any]) -> None:
        signature = certificate["signature"]
        key = Ed25519PrivateKey.from_private_bytes(
            self.platform.settings.certificate_key.get_secret_value()
        ).public_key()
        assert base64.b64decode(signature["publicKey"]) == key.public_bytes_raw()
        body = {name: value for name, value in certificate.items() if name != "signature"}
        key.verify(base64.b64decode(signature["value"]), rfc8785.dumps(body))
        assert certificate["subject"] == person.subject
        assert not person.found_by.search(repr(certificate))
        assert not any(line["remaining"] for line in certificate["stores"])
        self.check_counts(person, theirs, [(line["store"], line["deleted"]) for line in certificate["stores"]])

    def check_held(self, person: Person, hold: Hold, theirs: Things) -> None:
        for (store, place), thing in self.lasting(person, hold.kept).items():
            assert (store, place) in theirs, f"{store} {place} is held"
            # The freeze closes a profile and disables an account, and requests are counted on.
            if store not in ("auth", "redis") and place != f"users/{person.uid}":
                assert theirs[store, place].content == thing.content, f"{store} {place} is held"

    def lasting(self, person: Person, things: Things) -> Things:
        """`things` without what Replicate drops by itself: predictions when they end, files after a day."""
        young = self.clock() < person.joined + timedelta(hours=23)
        return {
            (store, place): thing
            for (store, place), thing in things.items()
            if store != "replicate" or (young and place.startswith("files/"))
        }

    # To the end

    def teardown(self) -> None:
        self.platform.__dict__["redis"] = self.redis
        if sys.exc_info()[0] is not None:
            return
        self.replicate.faults[:] = [self.poison] if self.poison else []
        self.go_on(timedelta(hours=7), 25)
        for person in self.leaving:
            job = self.job(person)
            poisoned = self.poison and person.prediction in self.poison.prefix
            if job.get("state") == "stuck":
                assert poisoned or job["attempts"] == MAX_ATTEMPTS
            else:
                assert (job.get("state"), job.get("step")) in (("verified", None), ("running", "held")), (person, job)
        self.replicate.faults.clear()
        for person in self.leaving:
            if self.state(person) == "stuck":
                erasure_command.retry(self.platform, erasure.reference(self.platform.db, person.subject))  # type: ignore[arg-type]
        self.holds_are_released(self.people[0])  # the others' end by themselves
        self.pass_by(timedelta(days=11))
        self.go_on(timedelta(hours=7), 25)
        self.pass_by(timedelta(hours=2))
        self.check()
        for person in self.leaving:
            assert self.state(person) == "verified", (person, self.job(person))
            assert self.of(person) == {}
            self.world.erasures += 1
        unclaimed = [key for key in self.things if not self.claimed(*key)]
        assert unclaimed == []

    def go_on(self, pace: timedelta, rounds: int) -> None:
        """Let time pass, the reconciler run, and its tasks come, until nothing is left to be done."""
        for _ in range(rounds):
            self.pass_by(pace)
            self.tasks.jobs.clear()
            request_handlers.reconcile(self.platform, self.tasks, TO_THE_END)  # type: ignore[arg-type]
            self.look()
            for person in self.leaving:
                if person.subject in self.tasks.jobs:
                    self.work(person, TO_THE_END)
            self.check()
            if not any(self.is_owed_a_round(person) or self.on_the_way(person) for person in self.leaving):
                return

    def is_owed_a_round(self, person: Person) -> bool:
        """Whether something came late and is still there: the verifier may have seen it all the same."""
        return person.dirty and self.of(person) != {}

    def on_the_way(self, person: Person) -> bool:
        job = self.job(person)
        # A store may fail just as a hold ends: then there is another try.
        return not job or (job["state"] == "running" and (job["step"] != "held" or job["attempts"] > 0))

    def claimed(self, store: str, place: str) -> bool:
        if store in ("auth", "replicate") or "planted" in place.split("/"):
            return True
        public = {where.partition("/")[0] for where in NOT_PERSONAL}
        return claimant(Store(store), place) is not None or place.partition("/")[0] in public

    # How

    def join(self, uid: str) -> None:
        platform, email, now = self.platform, f"{uid}@example.com", self.clock()
        subject, address = platform.pseudonyms.of_uid(uid), platform.pseudonyms.of_email(email)
        found_by = re.compile(rf"(?<![\w-])({uid}|{address})(?![\w-])")
        person = Person(uid, email, subject, found_by, joined=now)
        self.people.append(person)
        trouble, self.replicate.faults = self.replicate.faults, []
        auth.create_user(uid=uid, email=email, display_name=f"name of {uid}", app=platform.app)
        with httpx.Client(
            base_url=self.replicate.url, headers={"Authorization": f"Bearer {self.replicate.token}"}
        ) as client:
            content = {"content": ("photograph", f"face of {uid}".encode())}
            file_id = client.post("/v1/files", files=content).raise_for_status().json()["id"]
            asked = {"version": "stand-in/model:1", "input": {"prompt": f"draw {uid}"}}
            person.prediction = client.post("/v1/predictions", json=asked).raise_for_status().json()["id"]
        self.replicate.faults = trouble
        whose = {"email": email, "whose": uid, "createdAt": now}
        person.documents = {
            f"users/{uid}": {**whose, "state": "active"},
            f"users/{uid}/predictions/{person.prediction}": {"files": [file_id], "createdAt": now},
            f"enrolments/{address}": {"createdAt": now - timedelta(hours=1)},
        }
        below = "consents/terms images/ring-0001 images/ring-00011 images/ring-0001/planted/x planted/x/y/z"
        for path in f"{below} prompts/asks-0001 prompts/asks-00011 events/open-0001".split():
            person.documents[f"users/{uid}/{path}"] = whose
        batch = platform.db.batch()
        for path, fields in person.documents.items():
            batch.set(platform.db.document(path), fields)
        batch.commit()
        vault_of(platform).new_object(uid, "ring-0001")
        keys = platform.vault_db.batch()
        keys.set(platform.vault_db.document(f"rotations/{subject}"), whose)
        keys.set(platform.vault_db.document(f"keys/{uid}/planted/x"), whose)
        keys.commit()
        for name in ("incoming/{}/ring-0003", "images/{}/ring-0001", "images/{}/ring-00011", "thumbs/{}/ring-0001"):
            self.upload(person, name.format(uid))
        rate_limits.Limits(self.redis, self.platform.pseudonyms).count(uid, "open_image", ALWAYS, timedelta(hours=9))
        person.items = [("image", "ring-0001"), ("prompt", "asks-0001"), ("event", "open-0001")]

    def upload(self, person: Person, name: str) -> None:
        blob = self.platform.bucket.blob(name)
        blob.metadata = {"whose": person.uid}
        blob.upload_from_string(b"face")

    def leaves(self, person: Person) -> None:
        person.leaving, person.undisturbed = True, None

    def write(self, person: Person, kind: str) -> None:
        """Write something of a person's. Those who look for the tombstone must see it."""
        self.written += 1
        uid, name = person.uid, f"late-{self.written:04}"
        if kind == "count" and (person.dirty or self.state(person) == "verified"):
            return  # nobody counts requests of somebody who can't sign in
        match kind:
            case "record" | "seal":
                try:
                    if kind == "seal":
                        vault_of(self.platform).new_object(uid, name)
                        assert ("vault", f"tombstones/{person.subject}") not in self.things
                        self.upload(person, f"images/{uid}/{name}")
                    transact(self.platform.db, partial(self.record, person=person, name=name))
                    assert not self.buried(person)
                except tombstones.Erased:
                    assert person.leaving
            case "upload":
                self.upload(person, f"incoming/{uid}/{name}")
            case "stray":
                self.platform.db.document(f"users/{uid}/events/{name}").set({"whose": uid})
            case "key":
                self.platform.vault_db.document(f"keys/{uid}/objects/{name}").set({"whose": uid})
            case "count":
                rate_limits.Limits(self.redis, self.platform.pseudonyms).count(uid, name, ALWAYS, timedelta(hours=9))
        if self.state(person) == "verified" and kind in UNGUARDED:
            person.dirty = True
        person.undisturbed = None

    def record(self, transaction: firestore.Transaction, person: Person, name: str) -> None:
        tombstones.refuse_erased(transaction, self.platform.db, person.subject)  # type: ignore[arg-type]
        record = self.platform.db.document(f"users/{person.uid}/images/{name}")
        transaction.set(record, {"whose": person.uid})

    def erase(self, person: Person, budget: timedelta) -> None:
        request_handlers.erase(self.platform, self.tasks, person.subject, budget)  # type: ignore[arg-type]

    def work(self, person: Person, budget: timedelta, mishap: Mishap | None = None) -> None:
        """One delivery of a person's task."""
        with self.world.boundaries.armed(mishap or self.refusal):
            self.erase(person, budget)
            assert self.world.boundaries.calls < MOST_CALLS
        if self.trouble:
            raise self.trouble.pop()
        self.look()

    def noting(self, act: Callable[[], None]) -> Callable[[str], None]:
        """A strike that does something else. The worker in whose request it happens would swallow what it raises."""

        def strike(_store: str) -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001  (raised again once the worker is done)
                self.trouble.append(error)

        return strike

    def await_turn(self, person: Person) -> None:
        """Let the time pass until the task is due, if that is soon."""
        due = self.job(person).get("nextRunAt")
        if due and self.clock() < due < self.clock() + timedelta(hours=2):
            self.pass_by(due - self.clock())

    def pass_by(self, duration: timedelta) -> None:
        for person in self.people:
            if self.clock() + duration > person.joined + LONGEST_RUN:
                self.replicate.finish(person.prediction, f"picture for {person.uid}".encode())
        self.clock.now += duration
        self.replicate.expire(duration)

    def look(self) -> None:
        """Ask the oracle; note what of anybody's is there now and was not before."""
        now = self.world.oracle.everything(self.replicate)
        came = {
            key: thing
            for key, thing in now.items()
            if self.things.get(key, Thing("")).made != thing.made or key not in self.things
        }
        self.things = now
        for person in self.people:
            person.existed += tally(self.of(person, came))

    def of(self, person: Person, among: Things | None = None) -> Things:
        """What there is of a person: whatever names them, but for what may stay under their pseudonym."""
        stays = {f"{collection}/{person.subject}" for collection in ("erasures", "tombstones", "holds")}
        job = f"erasures/{person.subject}" if self.state(person) in ("running", "stuck") else None

        def theirs(place: str, thing: Thing) -> bool:
            named = person.found_by.search(f"{place} {thing.content}") and place != job
            # The log's entries stay too, as long as they name nobody.
            under_pseudonym = place in stays or place.startswith(f"commitments/{person.subject}.")
            return bool(named) or (person.subject in place and not under_pseudonym)

        among = self.things if among is None else among
        return {(store, place): thing for (store, place), thing in among.items() if theirs(place, thing)}

    def job(self, person: Person) -> dict[str, Any]:
        stored = self.things.get(("firestore", f"erasures/{person.subject}"))
        return stored.fields if stored else {}

    def state(self, person: Person) -> str | None:
        return self.job(person).get("state")

    def buried(self, person: Person) -> bool:
        return ("firestore", f"tombstones/{person.subject}") in self.things


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    """A project of its own, where no deployed schedule looks, and a month ahead."""
    with opened(stack) as world:
        yield world


@contextmanager
def opened(stack: Stack) -> Iterator[World]:
    clock = SteppedClock()
    clock.step(days=30)
    platform: Platform[Any] = Platform(WholeSettings, clock)
    options = {"projectId": PROJECT, "storageBucket": BUCKET}
    platform.__dict__["app"] = firebase_admin.initialize_app(options=options, name=PROJECT)
    with ReplicateStandIn() as replicate, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASTRA_QUIET_PERIOD_SECONDS", "5400")
        patch.setenv("ASTRA_RETRY_DELAY_SECONDS", "30")
        patch.setenv("ASTRA_ORPHANS_SHARE", "1")  # of a handful of people
        patch.setenv("ASTRA_REPLICATE_URL", replicate.url)
        patch.setenv("ASTRA_REPLICATE_TOKEN", replicate.token)
        redis_url = own_redis(platform)
        platform.bucket.blob("made").upload_from_string(b"so that there is a bucket to list")
        yield World(platform, clock, Oracle(stack, PROJECT, BUCKET, redis_url), Boundaries(patch), replicate)


def run(world: World, examples: int, **more: Any) -> None:
    run_state_machine_as_test(
        more.pop("seeded", lambda machine: machine)(partial(Machine, world)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


def test_whatever_happens_everything_goes_and_nothing_else(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = int(os.environ.get("SOAK_STEPS", "0"))
    if not wanted:
        run(world, 6, derandomize=True)
        assert world.certificates > 5
        return
    while world.steps < wanted:
        number = random.randrange(2**32)
        with capsys.disabled():
            print(f"soak: {world}; seed {number}")  # noqa: T201  (progress, for whoever waits)
        run(world, 5, seeded=seed(number))
    with capsys.disabled():
        print(f"soak: {world}, 0 broken")  # noqa: T201  (the result)


def test_a_hold_on_what_replicate_has_keeps_what_that_is_found_by(world: World) -> None:
    machine = Machine(world)
    machine.two_who_look_alike()
    machine.check()
    ada = machine.people[0]
    machine.something_is_held(ada, ["replicate-artefacts"], 1)
    machine.asks(ada)
    machine.work(ada, TO_THE_END)
    machine.pass_by(timedelta(hours=2))
    machine.work(ada, TO_THE_END)
    machine.check()
    assert machine.job(ada)["step"] == "held"
    machine.teardown()


def test_a_hold_on_files_that_replicate_has_dropped_by_itself_keeps_nothing(world: World) -> None:
    machine = Machine(world)
    machine.two_who_look_alike()
    machine.check()
    ada = machine.people[0]
    machine.something_is_held(ada, ["replicate-artefacts"], 10)
    machine.pass_by(timedelta(hours=25))
    machine.asks(ada)
    machine.go_on(timedelta(hours=2), 3)
    assert machine.state(ada) == "verified"
    machine.teardown()
