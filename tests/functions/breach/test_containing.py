"""Measures: taken by one person, logged, undone, and carried through after a crash."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_admin import auth

import containing
from astra import controls, erasure, tlog
from astra.controls import Control, Frozen
from tests.colleagues import Team, logged
from tests.functions.breach.office import Office, refused

KEY = "projects/-/serviceAccounts/uploads-functions@p.iam.gserviceaccount.com/keys/0a1b2c"


def account(office: Office, uid: str) -> Any:
    return auth.get_user(uid, app=office.platform.app)


def test_a_user_is_suspended_and_given_back(office: Office, team: Team) -> None:
    name, victim = office.report(), team.customer()
    before = account(office, victim.uid).tokens_valid_after_timestamp
    office.contain(name, "disable-user", uid=victim.uid)
    assert account(office, victim.uid).disabled
    assert account(office, victim.uid).tokens_valid_after_timestamp >= before
    office.contain(name, "disable-user", uid=victim.uid, undo=True)
    assert not account(office, victim.uid).disabled
    assert not office.db.document(f"suspensions/{victim.uid}").get().exists
    [measure] = office.incident(name)["measures"].values()
    assert measure["undoneAt"] == office.clock()
    assert victim.uid not in str(office.incident(name))
    with refused("not in effect"):
        office.contain(name, "disable-user", uid=victim.uid, undo=True)


def test_whoever_was_shut_out_before_stays_out(office: Office, team: Team) -> None:
    name, banned, leaving = office.report(), team.customer(), team.customer()
    auth.update_user(banned.uid, disabled=True, app=office.platform.app)
    for person in (banned, leaving):
        office.contain(name, "disable-user", uid=person.uid)
    erasure.begin(office.platform, leaving.uid, office.clock())
    for person in (banned, leaving):
        office.contain(name, "disable-user", uid=person.uid, undo=True)
        assert account(office, person.uid).disabled


def test_tokens_are_revoked_and_the_account_stays_open(office: Office, team: Team) -> None:
    name, victim = office.report(), team.customer()
    office.clock.now += timedelta(seconds=5)
    office.contain(name, "revoke-tokens", uid=victim.uid)
    found = account(office, victim.uid)
    assert not found.disabled
    assert found.tokens_valid_after_timestamp == int(office.clock().timestamp()) * 1000
    with refused("signs in again"):
        office.contain(name, "revoke-tokens", uid=victim.uid, undo=True)


def test_a_crash_before_auth_was_told_is_mended(office: Office, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    name, victim = office.report(), team.customer()

    def crash(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(auth, "update_user", crash)
        assert office.contain(name, "disable-user", uid=victim.uid)["state"] == "done"
    assert not account(office, victim.uid).disabled
    containing.settle_again(office.platform)
    assert account(office, victim.uid).disabled
    monkeypatch.setattr(auth, "update_user", crash)
    containing.settle_again(office.platform)


def test_a_key_is_turned_off_and_on(office: Office) -> None:
    name, google = office.report(), office.stack.google
    office.contain(name, "disable-key", key=KEY)
    assert google.disabled[KEY] is True
    office.contain(name, "disable-key", key=KEY, undo=True)
    assert google.disabled[KEY] is False
    from local.http_stand_in import Fault  # noqa: PLC0415

    google.faults.append(Fault("/v1/", status=503))
    office.contain(name, "disable-key", key=KEY)
    assert google.disabled[KEY] is False
    containing.settle_again(office.platform)
    assert google.disabled[KEY] is True


def test_exports_freeze_and_thaw(office: Office) -> None:
    name = office.report()
    controls.refuse_frozen(office.db, Control.EXPORTS)
    office.contain(name, "freeze-exports")
    with pytest.raises(Frozen):
        controls.refuse_frozen(office.db, Control.EXPORTS)
    office.contain(name, "freeze-exports", undo=True)
    controls.refuse_frozen(office.db, Control.EXPORTS)


def test_while_staff_is_frozen_only_what_contains_goes_on(office: Office, team: Team) -> None:
    import children  # noqa: PLC0415
    from astra.callables import parse  # noqa: PLC0415

    name, child = office.report(), team.customer()
    office.contain(name, "freeze-staff")
    form = parse(children.RemoveChild, {"uid": child.uid, "step": "freeze", "reference": "CH-1"})
    with refused("breach is being contained"):
        children.remove_child(office.platform, office.carol.call(form))
    office.contain(name, "disable-user", uid=child.uid)
    office.contain(name, "freeze-staff", undo=True)
    children.remove_child(office.platform, office.carol.call(form))


def test_nobody_else_contains_and_each_step_is_logged(office: Office, team: Team) -> None:
    name, victim = office.report(), team.customer()
    with refused("role"):
        office.contain(name, "freeze-exports", who=office.carol)
    with refused("yourself"):
        office.contain(name, "disable-user", uid=office.ada.uid)
    for measure in ("disable-user", "disable-key"):
        with refused("is required"):
            office.contain(name, measure)
    office.contain(name, "disable-user", uid=victim.uid)
    [entry] = logged(office.platform, tlog.Action.INCIDENT_CONTAINED)
    assert entry["record"]["measure"] == "disable-user"
    assert entry["record"]["subject"] == victim.subject
