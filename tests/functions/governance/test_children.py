"""A reported child's account: frozen by two, erased by two, or given back without loss."""

import itertools
from typing import Any

import pytest
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, staff, tlog
from astra.accounts import tombstones
from astra.accounts.state import settle
from astra.notices import deliveries
from astra.runtime.platform import Platform
from astra.staff import Role
from astra.staff.fields import sha256_of
from governance.child_removal import RemoveChild, Step, remove_child, unsettled
from governance.schedule import mend
from signup import blocking
from tests.colleagues import Person, Team, logged


def form(uid: str, step: Step, reference: str = "TICKET-17") -> RemoveChild:
    return RemoveChild(uid=uid, step=step, reference=reference)


class Desk:
    """Two people who look at reports."""

    def __init__(self, team: Team) -> None:
        self.team, self.platform = team, team.platform
        self.pair = (team.hire(Role.PRIVACY), team.hire(Role.SECURITY))

    def both(self, uid: str, step: Step) -> None:
        answers = [remove_child(self.platform, person.call(form(uid, step))) for person in self.pair]
        assert [answer["state"] for answer in answers] == ["proposed", "done"]

    def refuses(self, uid: str, step: Step) -> FunctionsErrorCode:
        with pytest.raises(HttpsError) as refusal:
            remove_child(self.platform, self.pair[0].call(form(uid, step)))
        code: FunctionsErrorCode = refusal.value.code
        return code


@pytest.fixture
def desk(team: Team) -> Desk:
    return Desk(team)


def everything_of(platform: Platform[Any], person: Person) -> dict[str, Any]:
    """All documents of a person, and what Auth says of them."""
    found, roots = {}, [person.profile]
    while roots:
        root = roots.pop()
        for collection in root.collections():
            roots += list(collection.list_documents())
        found[root.path] = root.get().to_dict()
    account = auth.get_user(person.uid, app=platform.app)
    return found | {"auth": {**account._data, "lastRefreshAt": None}}


def lived_in(team: Team) -> Person:
    person = team.customer()
    for name, number in itertools.product(("images", "consents", "prompts"), range(3)):
        person.profile.collection(name).document(f"{name}-{number}").set({"createdAt": team.platform.clock()})
    return person


def test_one_report_does_nothing(platform: Platform[Any], desk: Desk) -> None:
    ada = lived_in(desk.team)
    before = everything_of(platform, ada)
    for _ in range(3):
        remove_child(platform, desk.pair[0].call(form(ada.uid, Step.FREEZE)))
    assert everything_of(platform, ada) == before


def test_frozen_nobody_gets_in_and_nothing_is_gone(platform: Platform[Any], desk: Desk) -> None:
    ada = lived_in(desk.team)
    before = everything_of(platform, ada)
    desk.both(ada.uid, Step.FREEZE)
    with pytest.raises(HttpsError):
        blocking.before_sign_in(platform, blocking.Asked(ada.uid, f"{ada.uid}@example.com"))
    after = everything_of(platform, ada)
    assert after["auth"]["disabled"] is True
    assert after[ada.profile.path] == {**before[ada.profile.path], "state": "frozen"}
    assert after.keys() == before.keys()
    assert not tombstones.reference(platform.db, ada.subject).get().exists
    assert unsettled(platform) == []


@pytest.mark.parametrize("disabled", [False, True])
def test_a_false_report_is_undone_to_exactly_what_was(platform: Platform[Any], desk: Desk, disabled: bool) -> None:
    ada, rival = lived_in(desk.team), lived_in(desk.team)
    auth.update_user(ada.uid, disabled=disabled, app=platform.app)
    before, of_rival = everything_of(platform, ada), everything_of(platform, rival)
    desk.both(ada.uid, Step.FREEZE)
    desk.both(ada.uid, Step.UNDO)
    after = everything_of(platform, ada)
    assert after.pop("auth").get("disabled", False) is before.pop("auth").get("disabled", False) is disabled
    assert after == before
    assert everything_of(platform, rival) == of_rival
    assert not platform.db.document(f"removals/{ada.uid}").get().exists
    desk.both(ada.uid, Step.FREEZE)  # a later report is looked at like the first


def test_confirmed_it_is_erased_by_the_ordinary_erasure(platform: Platform[Any], desk: Desk) -> None:
    ada = lived_in(desk.team)
    desk.both(ada.uid, Step.FREEZE)
    desk.both(ada.uid, Step.ERASE)
    job = erasure.reference(platform.db, ada.subject).get().to_dict() or {}
    assert (job["state"], job["step"], job["uid"]) == ("running", erasure.FIRST, ada.uid)
    assert tombstones.reference(platform.db, ada.subject).get().exists
    assert ada.profile.get().get("state") == "erasing"
    letter = deliveries.row_of(platform.db, ada.uid, erasure.LETTER).get().to_dict() or {}
    assert (letter["state"], platform.pseudonyms.request_of(letter["facts"]["receipt"])) == ("queued", ada.subject)
    steps = [
        (entry["record"]["step"], entry["record"]["state"]) for entry in logged(platform, tlog.Action.CHILD_REMOVED)
    ]
    assert sorted(steps) == sorted(itertools.product(("freeze", "erase"), ("proposed", "done")))
    assert desk.refuses(ada.uid, Step.UNDO) is FunctionsErrorCode.FAILED_PRECONDITION


def test_the_log_repeats_no_reference(platform: Platform[Any], desk: Desk) -> None:
    ada = lived_in(desk.team)
    desk.both(ada.uid, Step.FREEZE)
    for entry in logged(platform, tlog.Action.CHILD_REMOVED):
        assert "TICKET-17" not in repr(entry)
        assert entry["record"]["referenceSha256"] == sha256_of("TICKET-17")
    assert platform.db.document(f"removals/{ada.uid}").get().get("reference") == "TICKET-17"


def test_no_step_is_skipped(platform: Platform[Any], desk: Desk) -> None:
    ada = lived_in(desk.team)
    for step in (Step.ERASE, Step.UNDO):
        assert desk.refuses(ada.uid, step) is FunctionsErrorCode.FAILED_PRECONDITION
    desk.both(ada.uid, Step.FREEZE)
    assert desk.refuses(ada.uid, Step.FREEZE) is FunctionsErrorCode.FAILED_PRECONDITION
    assert desk.refuses("nobody", Step.FREEZE) is FunctionsErrorCode.NOT_FOUND


def test_who_asked_to_be_erased_meanwhile_stays_so(platform: Platform[Any], desk: Desk) -> None:
    ada = lived_in(desk.team)
    desk.both(ada.uid, Step.FREEZE)
    erasure.begin(platform, ada.uid, platform.clock())
    for step in (Step.UNDO, Step.ERASE):
        assert desk.refuses(ada.uid, step) is FunctionsErrorCode.FAILED_PRECONDITION
    assert ada.profile.get().get("state") == "erasing"


def test_support_reports_and_does_not_erase(platform: Platform[Any], desk: Desk) -> None:
    ada, sue = lived_in(desk.team), desk.team.hire(Role.SUPPORT)
    remove_child(platform, sue.call(form(ada.uid, Step.FREEZE)))
    assert remove_child(platform, desk.pair[0].call(form(ada.uid, Step.FREEZE)))["state"] == "done"
    with pytest.raises(HttpsError) as refusal:
        remove_child(platform, sue.call(form(ada.uid, Step.ERASE)))
    assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED


@pytest.mark.parametrize("step", [Step.FREEZE, Step.UNDO])
def test_what_a_crash_left_undecided_at_auth_is_mended(
    platform: Platform[Any], desk: Desk, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    ada = lived_in(desk.team)
    if step is Step.UNDO:
        desk.both(ada.uid, Step.FREEZE)
    with monkeypatch.context() as down:
        down.setattr(auth, "update_user", lambda *_, **__: 1 / 0)
        desk.both(ada.uid, step)
    assert unsettled(platform) == [ada.uid]
    if step is Step.UNDO:
        assert desk.refuses(ada.uid, Step.FREEZE) is FunctionsErrorCode.FAILED_PRECONDITION
    mend(platform)
    assert unsettled(platform) == []
    assert auth.get_user(ada.uid, app=platform.app).disabled is (step is Step.FREEZE)


def test_mending_opens_no_door_that_an_erasure_has_shut(
    platform: Platform[Any], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = lived_in(desk.team)
    desk.both(ada.uid, Step.FREEZE)
    with monkeypatch.context() as down:
        down.setattr(auth, "update_user", lambda *_, **__: 1 / 0)
        desk.both(ada.uid, Step.UNDO)
    erasure.begin(platform, ada.uid, platform.clock())
    settle(platform, ada.uid)
    assert auth.get_user(ada.uid, app=platform.app).disabled is True


@pytest.mark.parametrize("meanwhile", ["undone", "undone, was disabled", "frozen anew", "erased"])
def test_who_reaches_auth_too_late_does_not_leave_there_what_holds_no_more(
    platform: Platform[Any], desk: Desk, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """Another call has undone and settled it all between this one's look and its word to Auth."""
    ada, real = lived_in(desk.team), auth.update_user
    auth.update_user(ada.uid, disabled="was disabled" in meanwhile, app=platform.app)
    with monkeypatch.context() as down:
        down.setattr(auth, "update_user", lambda *_, **__: 1 / 0)
        desk.both(ada.uid, Step.FREEZE)

    def overtaken(uid: str, **changes: Any) -> Any:
        monkeypatch.setattr(auth, "update_user", real)
        desk.both(ada.uid, Step.UNDO)
        if meanwhile == "frozen anew":
            desk.both(ada.uid, Step.FREEZE)
            desk.both(ada.uid, Step.UNDO)
        if meanwhile == "erased":
            erasure.begin(platform, ada.uid, platform.clock())
        return real(uid, **changes)

    monkeypatch.setattr(auth, "update_user", overtaken)
    settle(platform, ada.uid)
    assert auth.get_user(ada.uid, app=platform.app).disabled is (meanwhile in ("undone, was disabled", "erased"))
    assert unsettled(platform) == []


def test_staff_are_frozen_like_anybody(platform: Platform[Any], desk: Desk) -> None:
    sam = desk.team.hire(Role.SUPPORT)
    desk.both(sam.uid, Step.FREEZE)
    with pytest.raises(HttpsError):
        remove_child(platform, sam.call(form("x", Step.FREEZE)))
    assert staff.reference(platform.db, sam.uid).get().get("role") == "support"
