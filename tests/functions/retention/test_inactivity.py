"""Who has not been here for long is warned twice and then erased; who comes back at any moment stays."""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from firebase_admin import auth
from firebase_admin.exceptions import UnavailableError
from firebase_functions.https_fn import HttpsError
from google.cloud import firestore

from astra import erasure, jobs
from astra.accounts import activity
from astra.notices import deliveries
from astra.notices.deliveries import DeliveryState
from astra.policies import FIRST as POLICY
from astra.runtime.platform import Platform
from erasure import cascade
from governance import child_removal
from local.stack.stack import Stack
from notices import delivery_status
from retention.inactivity import Inactive
from signup import blocking
from tests.functions.breach.desk import Desk
from tests.functions.erasure.boundaries import Boundaries, Mishap
from tests.functions.retention.stored import Stored
from tests.support.colleagues import Team

DAY = timedelta(days=1)


@dataclass
class Member:
    """Somebody with an account and a profile, who was here when the clock began."""

    stored: Stored
    uid: str

    @property
    def profile(self) -> dict[str, Any]:
        return self.stored.db.document("users", self.uid).get().to_dict() or {}

    @property
    def warned(self) -> list[dict[str, Any]]:
        """The notices they have, the oldest first."""
        rows = self.stored.db.collection("users", self.uid, "notices").order_by("createdAt").get()
        return [row.to_dict() or {} for row in rows]

    @property
    def is_leaving(self) -> bool:
        """Whether an erasure of theirs has begun."""
        return erasure.reference(self.stored.db, self.stored.platform.pseudonyms.of_uid(self.uid)).get().exists

    @property
    def letters(self) -> list[firestore.DocumentSnapshot]:
        """The letters they were written."""
        return self.stored.db.collection("users", self.uid, "deliveries").get()

    def sign_in(self) -> bool:
        """Come back. Answers whether they were let in."""
        email = f"{self.uid}@example.com"
        try:
            blocking.before_sign_in(self.stored.platform, blocking.Asked(self.uid, email, "192.0.2.7"))
        except HttpsError:
            return False
        return True


@pytest.fixture
def join(stored: Stored) -> Callable[..., Member]:
    """Makes a member; `join(state="frozen")`. Auth, whose time is the real one, saw them before that."""
    stored.clock.step(minutes=10)

    def joined(**fields: Any) -> Member:
        uid, platform = secrets.token_hex(10), stored.platform
        auth.create_user(uid=uid, email=f"{uid}@example.com", app=platform.app)
        profile = {
            "state": "active",
            "email": f"{uid}@example.com",
            "createdAt": stored.clock(),
            "policyVersion": POLICY,
            "ipLock": False,
            activity.FIELD: activity.seen(platform.settings, stored.clock()),
        }
        stored.db.document("users", uid).set(profile | fields)
        return Member(stored, uid)

    return joined


def go(stored: Stored, days: float) -> None:
    """Step by a day, and by what is left, and sweep after each."""
    whole, rest = int(days), days % 1
    for step in [1.0] * whole + ([rest] if rest else []):
        stored.clock.step(days=step)
        stored.run("sweep-inactive")


def send(member: Member, state: str = "accepted") -> None:
    """What the sender of letters notes of those that wait: in the sender's own words."""
    waiting = [letter.reference for letter in member.letters if letter.get("state") == "queued"]
    assert [delivery_status.settle(member.stored.platform, letter, DeliveryState(state)) for letter in waiting] == [
        True
    ]


def away(member: Member, warnings: int, state: str = "accepted") -> None:
    """Be away until a step is due after so many warnings, each of which was given as soon as it was due."""
    clock = member.stored.clock
    clock.step(days=700)
    for gap in (23, 7)[:warnings]:
        member.stored.run("sweep-inactive")
        send(member, state)
        clock.step(days=gap)


def test_two_warnings_and_then_the_erasure_that_people_ask_for(stored: Stored, join: Callable[..., Member]) -> None:
    ada, bob = join(), join()
    began = stored.clock()
    go(stored, 699.9)
    assert (ada.warned, ada.is_leaving) == ([], False)
    go(stored, 0.1)
    [first] = ada.warned
    day = began + 730 * DAY
    assert f"{day.day} {day:%B %Y}" in first["title"]
    send(ada)
    assert bob.sign_in()
    go(stored, 23)
    assert len(ada.warned) == 2
    assert first["title"] == ada.warned[1]["title"], "the same day"
    send(ada)
    assert len(ada.letters) == 2
    go(stored, 6.9)
    assert (ada.profile["state"], ada.is_leaving) == ("active", False)
    go(stored, 0.1)
    assert (ada.profile["state"], ada.is_leaving) == ("erasing", True)
    assert activity.FIELD not in ada.profile
    letter = deliveries.row_of(stored.db, ada.uid, erasure.LETTER).get().to_dict() or {}
    subject = stored.platform.pseudonyms.of_uid(ada.uid)
    assert stored.platform.pseudonyms.request_of(letter["facts"]["receipt"]) == subject
    assert letter["state"] == "queued"
    assert not ada.sign_in()
    assert (bob.is_leaving, bob.profile[activity.FIELD]["warnings"]) == (False, 0)
    worker = jobs.Worker(stored.db, stored.clock, timedelta(seconds=1))
    for _ in range(9):
        worker.run(
            erasure.reference(stored.db, subject), cascade.Cascade(stored.platform, subject).page, timedelta(minutes=1)
        )
        stored.clock.step(hours=2)
    assert erasure.reference(stored.db, subject).get().get("state") == "verified"
    assert ada.profile == {}


@pytest.mark.parametrize("warnings", [0, 1, 2])
def test_who_signs_in_at_any_stage_is_asked_anew_two_years_later(
    stored: Stored, join: Callable[..., Member], warnings: int
) -> None:
    ada = join()
    away(ada, warnings)
    assert ada.sign_in()
    for _ in range(2):
        stored.run("sweep-inactive")
    assert (len(ada.warned), ada.is_leaving) == (warnings, False)
    stored.clock.step(days=699)
    stored.run("sweep-inactive")
    assert len(ada.warned) == warnings
    stored.clock.step(days=1)
    stored.run("sweep-inactive")
    assert len(ada.warned) == warnings + 1


def test_who_goes_on_using_a_session_need_not_sign_in(stored: Stored, join: Callable[..., Member]) -> None:
    stored.clock.step(days=-720)
    ada = join()  # whose token Auth gave just now
    stored.clock.step(days=720)
    stored.run("sweep-inactive")
    assert ada.warned == []
    assert ada.profile[activity.FIELD]["seenAt"] > stored.clock() - DAY


def test_a_sweep_that_was_down_shortens_nothing(stored: Stored, join: Callable[..., Member]) -> None:
    ada = join()
    stored.clock.step(days=1100)
    for days in (0, 22.9):
        go(stored, days)
        stored.run("sweep-inactive")
    send(ada)
    assert len(ada.warned) == 1
    stored.clock.step(days=300)  # down again
    stored.run("sweep-inactive")
    assert (len(ada.warned), ada.is_leaving) == (2, False)
    send(ada)
    go(stored, 6.9)
    assert not ada.is_leaving
    go(stored, 0.1)
    assert ada.is_leaving


def test_a_letter_that_waits_to_be_sent_is_no_warning_yet(stored: Stored, join: Callable[..., Member]) -> None:
    ada = join()
    go(stored, 700)
    go(stored, 28)
    assert len(ada.warned) == 1
    send(ada)
    go(stored, 22)
    assert len(ada.warned) == 1
    go(stored, 2)
    assert len(ada.warned) == 2
    go(stored, 9)
    assert not ada.is_leaving, "nor is the second"
    send(ada)
    go(stored, 8)
    assert ada.is_leaving


@pytest.mark.parametrize("state", ["bounced", "failed"])
def test_a_letter_that_can_not_be_delivered_is_the_notice_in_the_application(
    stored: Stored, join: Callable[..., Member], state: str
) -> None:
    ada = join()
    away(ada, 2, state)
    assert not ada.is_leaving
    stored.run("sweep-inactive")
    assert ada.is_leaving


@pytest.mark.parametrize(("warnings", "gap"), [(1, 23), (2, 7)])
def test_a_letter_that_leaves_at_the_last_moment_leaves_them_all_their_time(
    stored: Stored, join: Callable[..., Member], warnings: int, gap: int
) -> None:
    ada, hour = join(), 1 / 24
    away(ada, warnings - 1)
    stored.run("sweep-inactive")
    go(stored, gap - hour)
    send(ada)
    for days in (hour, gap - 2 * hour):
        go(stored, days)
        assert (len(ada.warned), ada.is_leaving) == (warnings, False)
    go(stored, 1 + hour)
    assert (len(ada.warned), ada.is_leaving) == (2, warnings == 2)


WAITING = ["frozen", "disabled", "held", "staff", "untold", "no account"]


def keep(member: Member, why: str) -> Callable[[], Any]:
    """Give a reason to wait. Answers what takes it away."""
    stored, uid, platform = member.stored, member.uid, member.stored.platform
    db = stored.db
    match why:
        case "frozen":
            db.document("users", uid).update({"state": "frozen"})
            return lambda: db.document("users", uid).update({"state": "active"})
        case "disabled":
            auth.update_user(uid, disabled=True, app=platform.app)
            return lambda: auth.update_user(uid, disabled=False, app=platform.app)
        case "held":
            stored.hold(uid, "events", days=20)
            return lambda: None
        case "staff":
            db.document("staff", uid).set({"role": "privacy"})
            return lambda: db.document("staff", uid).update({"role": None})
        case "untold":
            gag = db.document(f"users/{uid}/gags/one")
            gag.set({"until": stored.clock() + 400 * DAY})
            return gag.delete
        case _:
            auth.delete_user(uid, app=platform.app)
            return lambda: auth.create_user(uid=uid, app=platform.app)


@pytest.mark.parametrize("warnings", [0, 2])
@pytest.mark.parametrize("why", WAITING)
def test_who_can_not_come_back_or_must_be_kept_waits_and_is_warned_again(
    stored: Stored, join: Callable[..., Member], why: str, warnings: int
) -> None:
    ada = join()
    away(ada, warnings)
    end = keep(ada, why)
    stored.run("sweep-inactive")
    go(stored, 29)
    assert (len(ada.warned), ada.is_leaving) == (warnings, False)
    end()
    if why == "no account":
        return  # the new one was seen just now
    for days in (1, 23):
        go(stored, days)
        send(ada)
    assert (len(ada.warned), ada.is_leaving) == (warnings + 2, False)
    go(stored, 7)
    assert ada.is_leaving


def held_by(desk: Desk, name: str, uid: str, by: str, *, undo: bool) -> None:
    """Have somebody frozen, or let in again, as staff do it."""
    if by == "a breach":
        desk.contain(name, "disable-user", uid=uid, undo=undo)
        return
    step = child_removal.Step.UNDO if undo else child_removal.Step.FREEZE
    for person in (desk.ada, desk.carol):
        child_removal.remove_child(
            desk.platform, person.call(child_removal.RemoveChild(uid=uid, step=step, reference="CH-1"))
        )


@pytest.mark.parametrize("warnings", [1, 2])
@pytest.mark.parametrize("by", ["a report", "a breach"])
def test_who_was_frozen_between_two_steps_has_all_their_time_once_they_are_let_in(
    stored: Stored, join: Callable[..., Member], stack: Stack, by: str, warnings: int
) -> None:
    ada = join()
    away(ada, warnings - 1)
    stored.run("sweep-inactive")
    send(ada)
    go(stored, 1)
    desk = Desk(stored.platform, Team(stored.platform), stack)
    incident = desk.report()
    held_by(desk, incident, ada.uid, by, undo=False)
    go(stored, 5.5)
    held_by(desk, incident, ada.uid, by, undo=True)
    assert (ada.profile["state"], ada.profile[activity.FIELD]["warnings"]) == ("active", 0)
    go(stored, 29.9)
    assert (len(ada.warned), ada.is_leaving) == (warnings, False)
    for days, warned in ((0.2, 1), (23, 2)):
        go(stored, days)
        assert len(ada.warned) == warnings + warned
        send(ada)
    go(stored, 6.9)
    assert not ada.is_leaving
    go(stored, 0.2)
    assert ada.is_leaving


def test_whoever_is_not_due_for_long_is_not_asked_sooner_for_having_been_frozen(
    stored: Stored, join: Callable[..., Member], stack: Stack
) -> None:
    ada = join()
    before = ada.profile
    desk = Desk(stored.platform, Team(stored.platform), stack)
    for undo in (False, True):
        held_by(desk, "", ada.uid, "a report", undo=undo)
    assert ada.profile == before


def test_who_is_being_erased_already_is_left_alone(stored: Stored, join: Callable[..., Member]) -> None:
    ada = join()
    away(ada, 2)
    assert erasure.begin(stored.platform, ada.uid, stored.clock())
    for _ in range(2):
        stored.run("sweep-inactive")
    assert activity.FIELD not in ada.profile
    assert (len(ada.warned), stored.job("sweep-inactive")["counts"]) == (2, {})


def test_one_whose_step_fails_delays_no_other(
    stored: Stored, join: Callable[..., Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [join() for _ in range(5)]
    people[2].stored.db.document("users", people[2].uid).update({"inactivity.seenAt": "torn"})
    away(people[0], 0)
    stored.run("sweep-inactive")
    assert [len(one.warned) for one in people] == [1, 1, 0, 1, 1]
    assert stored.job("sweep-inactive")["counts"] == {"warned": 4, "skipped": 1}


def test_an_auth_that_is_down_is_nobodys_fault(
    stored: Stored, join: Callable[..., Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = join()
    away(ada, 0)

    def down(*_: Any, **__: Any) -> None:
        raise UnavailableError("asked for")

    with monkeypatch.context() as patched:
        patched.setattr(auth, "get_users", down)
        stored.run("sweep-inactive")
    job = stored.job("sweep-inactive")
    assert (job["state"], job["attempts"], ada.warned) == ("running", 1, [])
    stored.clock.step(minutes=1)
    stored.run("sweep-inactive")
    assert len(ada.warned) == 1


def test_two_sweeps_at_once_warn_once(stored: Stored, join: Callable[..., Member]) -> None:
    people = [join() for _ in range(3)]
    stored.clock.step(days=700)
    rows = [stored.db.document("users", one.uid).get() for one in people]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Inactive(stored.platform, stored.clock).work(rows), range(4)))
    assert [(len(one.warned), len(one.letters)) for one in people] == [(1, 1)] * 3


@pytest.fixture(scope="module")
def boundaries() -> Iterator[Boundaries]:
    with pytest.MonkeyPatch.context() as patch:
        yield Boundaries(patch)


def race(stored: Stored, ada: Member, boundaries: Boundaries, **mishap: Any) -> tuple[bool, int]:
    """Let them sign in at some request of the sweep. Answers whether they were let in, and how many requests it made.

    Either they are in and nothing was taken from them, or the erasure has begun and they are told so.
    """
    came: list[bool] = []
    coming = threading.Thread(target=lambda: came.append(ada.sign_in()))

    def strike(_store: str) -> None:
        coming.start()
        coming.join(timeout=1)  # it may have to wait for the sweep's transaction

    with boundaries.armed(Mishap(strike=strike, **mishap)):
        stored.run("sweep-inactive")
        requests = boundaries.calls
    if coming.ident is None:
        coming.start()
    coming.join(timeout=60)
    stored.run("sweep-inactive")
    if came == [True]:
        assert ada.profile["state"] == "active"
        assert not ada.is_leaving
        assert ada.profile[activity.FIELD] == activity.seen(stored.platform.settings, stored.clock())
    else:
        assert came == [False]
        assert ada.is_leaving
    assert len(ada.warned) == 2
    stored.db.document("users", ada.uid).update({activity.FIELD: firestore.DELETE_FIELD})  # not of the next race
    return came[0], requests


@pytest.mark.timeout(400)
def test_of_a_sign_in_just_before_or_after_any_request_of_the_sweep_one_is_first(
    stored: Stored, join: Callable[..., Member], boundaries: Boundaries
) -> None:
    outcomes, at, requests = [], 0, 1
    while at < requests:
        at += 1
        for after in (False, True):
            ada = join()
            away(ada, 2)
            # Within a transaction the emulator has one of the two wait for long: that is the next test.
            came, requests = race(stored, ada, boundaries, at=at, after=after, outside=True)
            outcomes.append(came)
    assert outcomes == sorted(outcomes, reverse=True), (
        "let in until the erasure has begun, and not any more from then on"
    )
    assert len(set(outcomes)) == 2


@pytest.mark.timeout(170)
def test_a_sign_in_while_the_sweep_is_about_to_commit(
    stored: Stored, join: Callable[..., Member], boundaries: Boundaries
) -> None:
    ada = join()
    away(ada, 2)
    # Commits: the job's beginning, then somebody's step.
    race(stored, ada, boundaries, at=2, after=False, store="firestore", method="commit")


def test_everybody_who_is_due_and_nobody_else_is_read(platform: Platform[Any], join: Callable[..., Member]) -> None:
    here = [join() for _ in range(4)]
    platform.clock.step(days=699)  # type: ignore[attr-defined]
    due = [row.id for row in Inactive(platform, platform.clock).due().get()]
    assert due == []
    here[1].sign_in()
    platform.clock.step(days=1)  # type: ignore[attr-defined]
    due = [row.id for row in Inactive(platform, platform.clock).due().get()]
    assert sorted(due) == sorted(one.uid for one in here if one is not here[1])
