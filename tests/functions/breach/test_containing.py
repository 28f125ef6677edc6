"""Measures: taken by one person, logged, undone, and carried through after a crash."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_admin import auth

from astra import erasure, tlog
from astra.runtime.clock import iso
from astra.staff import freezes
from astra.staff.freezes import Control, Frozen
from breach.response import contain
from tests.colleagues import Team, logged
from tests.functions.breach.desk import Desk, refused

KEY = "projects/-/serviceAccounts/uploads-functions@p.iam.gserviceaccount.com/keys/0a1b2c"


def account(desk: Desk, uid: str) -> Any:
    return auth.get_user(uid, app=desk.platform.app)


def test_a_user_is_suspended_and_given_back(desk: Desk, team: Team) -> None:
    name, victim = desk.report(), team.customer()
    before = account(desk, victim.uid).tokens_valid_after_timestamp
    desk.contain(name, "disable-user", uid=victim.uid)
    assert account(desk, victim.uid).disabled
    assert account(desk, victim.uid).tokens_valid_after_timestamp >= before
    desk.contain(name, "disable-user", uid=victim.uid, undo=True)
    assert not account(desk, victim.uid).disabled
    assert not desk.db.document(f"suspensions/{victim.uid}").get().exists
    [measure] = desk.incident(name)["measures"].values()
    assert measure["undoneAt"] == desk.clock()
    assert victim.uid not in str(desk.incident(name))
    with refused("not in effect"):
        desk.contain(name, "disable-user", uid=victim.uid, undo=True)


def test_whoever_was_shut_out_before_stays_out(desk: Desk, team: Team) -> None:
    name, banned, leaving = desk.report(), team.customer(), team.customer()
    auth.update_user(banned.uid, disabled=True, app=desk.platform.app)
    for person in (banned, leaving):
        desk.contain(name, "disable-user", uid=person.uid)
    erasure.begin(desk.platform, leaving.uid, desk.clock())
    for person in (banned, leaving):
        desk.contain(name, "disable-user", uid=person.uid, undo=True)
        assert account(desk, person.uid).disabled


def state(desk: Desk, uid: str) -> str:
    return str(desk.db.document(f"users/{uid}").get().get("state"))


def test_who_is_suspended_is_refused_at_once_whatever_token_they_have(desk: Desk, team: Team) -> None:
    name, victim = desk.report(), team.customer()
    desk.contain(name, "disable-user", uid=victim.uid)
    assert state(desk, victim.uid) == "frozen"
    desk.contain(name, "disable-user", uid=victim.uid, undo=True)
    assert state(desk, victim.uid) == "active"
    erasure.begin(desk.platform, victim.uid, desk.clock())
    desk.contain(name, "disable-user", uid=victim.uid)
    assert state(desk, victim.uid) == "erasing"


def test_what_two_incidents_hold_ends_with_the_last(desk: Desk, team: Team) -> None:
    one, other, victim = desk.report(), desk.report(), team.customer()
    measures: list[tuple[str, dict[str, str]]]
    measures = [("freeze-exports", {}), ("disable-user", {"uid": victim.uid}), ("disable-key", {"key": KEY})]
    for name in (one, other):
        for measure, more in measures:
            desk.contain(name, measure, **more)
    for measure, more in measures:
        desk.contain(one, measure, undo=True, **more)
    with pytest.raises(Frozen):
        freezes.refuse_frozen(desk.db, Control.EXPORTS)
    assert desk.stack.google.disabled[KEY] is True
    assert (state(desk, victim.uid), account(desk, victim.uid).disabled) == ("frozen", True)
    desk.close(one, false_alarm=True)
    with refused("exports"):
        desk.close(other, false_alarm=True)
    for measure, more in measures:
        desk.contain(other, measure, undo=True, **more)
    freezes.refuse_frozen(desk.db, Control.EXPORTS)
    assert desk.stack.google.disabled[KEY] is False
    assert (state(desk, victim.uid), account(desk, victim.uid).disabled) == ("active", False)
    desk.close(other, false_alarm=True)


@pytest.mark.parametrize("first", ["suspension", "removal"])
@pytest.mark.parametrize("undone_first", ["suspension", "removal"])
def test_a_childs_removal_and_a_suspension_each_hold(desk: Desk, team: Team, first: str, undone_first: str) -> None:
    from astra.runtime.callables import parse  # noqa: PLC0415
    from governance import child_removal  # noqa: PLC0415

    name, child = desk.report(), team.customer()

    def do(what: str, *, undo: bool) -> None:
        if what == "suspension":
            desk.contain(name, "disable-user", uid=child.uid, undo=undo)
            return
        step = "undo" if undo else "freeze"
        form = parse(child_removal.RemoveChild, {"uid": child.uid, "step": step, "reference": "CH-1"})
        for person in (desk.ada, desk.carol):
            child_removal.remove_child(desk.platform, person.call(form))

    kinds = ["suspension", "removal"]
    for what in sorted(kinds, key=lambda kind: kind != first):
        do(what, undo=False)
        assert (state(desk, child.uid), account(desk, child.uid).disabled) == ("frozen", True)
    steps = sorted(kinds, key=lambda kind: kind != undone_first)
    do(steps[0], undo=True)
    assert (state(desk, child.uid), account(desk, child.uid).disabled) == ("frozen", True)
    do(steps[1], undo=True)
    assert (state(desk, child.uid), account(desk, child.uid).disabled) == ("active", False)


def test_tokens_are_revoked_and_the_account_stays_open(desk: Desk, team: Team) -> None:
    name, victim = desk.report(), team.customer()
    desk.clock.now += timedelta(seconds=5)
    answer = desk.contain(name, "revoke-tokens", uid=victim.uid)
    assert answer["idTokensUntil"] == iso(desk.clock() + timedelta(hours=1))
    found = account(desk, victim.uid)
    assert not found.disabled
    assert found.tokens_valid_after_timestamp == int(desk.clock().timestamp()) * 1000
    with refused("signs in again"):
        desk.contain(name, "revoke-tokens", uid=victim.uid, undo=True)


def test_a_crash_before_auth_was_told_is_mended(desk: Desk, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    name, victim = desk.report(), team.customer()

    def crash(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(auth, "update_user", crash)
        assert desk.contain(name, "disable-user", uid=victim.uid)["state"] == "done"
    assert not account(desk, victim.uid).disabled
    contain.settle_again(desk.platform)
    assert account(desk, victim.uid).disabled
    monkeypatch.setattr(auth, "update_user", crash)
    contain.settle_again(desk.platform)


def test_a_key_is_turned_off_and_on(desk: Desk) -> None:
    name, google = desk.report(), desk.stack.google
    desk.contain(name, "disable-key", key=KEY)
    assert google.disabled[KEY] is True
    desk.contain(name, "disable-key", key=KEY, undo=True)
    assert google.disabled[KEY] is False
    from local.http_stand_in import Fault  # noqa: PLC0415

    google.faults.append(Fault("/v1/", status=503))
    desk.contain(name, "disable-key", key=KEY)
    assert google.disabled[KEY] is False
    contain.settle_again(desk.platform)
    assert google.disabled[KEY] is True


def test_exports_freeze_and_thaw(desk: Desk) -> None:
    name = desk.report()
    freezes.refuse_frozen(desk.db, Control.EXPORTS)
    desk.contain(name, "freeze-exports")
    with pytest.raises(Frozen):
        freezes.refuse_frozen(desk.db, Control.EXPORTS)
    desk.contain(name, "freeze-exports", undo=True)
    freezes.refuse_frozen(desk.db, Control.EXPORTS)


def test_while_staff_is_frozen_only_what_contains_goes_on(desk: Desk, team: Team) -> None:
    from astra.runtime.callables import parse  # noqa: PLC0415
    from governance import child_removal  # noqa: PLC0415

    name, child = desk.report(), team.customer()
    desk.contain(name, "freeze-staff")
    form = parse(child_removal.RemoveChild, {"uid": child.uid, "step": "freeze", "reference": "CH-1"})
    with refused("breach is being contained"):
        child_removal.remove_child(desk.platform, desk.carol.call(form))
    desk.contain(name, "disable-user", uid=child.uid)
    desk.contain(name, "freeze-staff", undo=True)
    child_removal.remove_child(desk.platform, desk.carol.call(form))


def test_nobody_else_contains_and_each_step_is_logged(desk: Desk, team: Team) -> None:
    name, victim = desk.report(), team.customer()
    with refused("role"):
        desk.contain(name, "freeze-exports", who=desk.carol)
    with refused("yourself"):
        desk.contain(name, "disable-user", uid=desk.ada.uid)
    for measure in ("disable-user", "disable-key"):
        with refused("is required"):
            desk.contain(name, measure)
    desk.contain(name, "disable-user", uid=victim.uid)
    [entry] = logged(desk.platform, tlog.Action.INCIDENT_CONTAINED)
    assert entry["record"]["measure"] == "disable-user"
    assert entry["record"]["subject"] == victim.subject
