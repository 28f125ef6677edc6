"""Who gets a role, by whom, after what; and how it ends."""

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, policies, staff, tlog
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from cli import staff as staff_command
from governance.roles import (
    AcceptSecurityPolicy,
    GrantRole,
    RevokeRole,
    accept_security_policy,
    grant_role,
    revoke_role,
)
from governance.schedule import end_roles, mend
from local.stack.stack import Stack
from tests.support.colleagues import Person, Team, logged, replace_security_policy


def in_force(platform: Platform[Any]) -> AcceptSecurityPolicy:
    required = policies.current(platform.db, platform.clock(), policies.SECURITY)
    return AcceptSecurityPolicy(version=required.version, sha256=required.sha256)


def ready(team: Team) -> Person:
    """Somebody who has accepted the security policy and has no role."""
    person = team.customer()
    accept_security_policy(person.platform, person.call(in_force(person.platform)))
    return person


def code(handler: Any, *args: Any) -> FunctionsErrorCode:
    with pytest.raises(HttpsError) as refusal:
        handler(*args)
    found: FunctionsErrorCode = refusal.value.code
    return found


def test_acceptance_is_kept_with_version_and_hash_and_logged_once(platform: Platform[Any], team: Team) -> None:
    ada, form = team.customer(), in_force(platform)
    for _ in range(2):
        accept_security_policy(platform, ada.call(form))
    fields = staff.reference(platform.db, ada.uid).get().to_dict() or {}
    assert (fields["policyVersion"], fields["policySha256"]) == (form.version, form.sha256)
    assert fields["acceptedAt"] == platform.clock()
    [entry] = logged(platform, tlog.Action.SECURITY_POLICY_ACCEPTED)
    assert (entry["actor"], entry["record"]["sha256"]) == (ada.subject, form.sha256)
    assert ada.role() is None


@pytest.mark.parametrize("change", [{"version": "security-2020"}, {"sha256": "0" * 64}])
def test_nobody_accepts_what_is_not_in_force_or_not_at_hand(
    platform: Platform[Any], team: Team, change: dict[str, str]
) -> None:
    ada, form = team.customer(), in_force(platform).model_copy(update=change)
    assert code(accept_security_policy, platform, ada.call(form)) is FunctionsErrorCode.FAILED_PRECONDITION
    assert not staff.reference(platform.db, ada.uid).get().exists


@pytest.mark.parametrize("how", ["frozen", "erasing", "no-profile"])
def test_who_is_not_active_accepts_nothing(platform: Platform[Any], team: Team, how: str) -> None:
    ada = team.customer()
    match how:
        case "frozen":
            ada.profile.update({"state": "frozen"})
        case "erasing":
            erasure.begin(platform, ada.uid, platform.clock())
        case "no-profile":
            ada.profile.delete()
    call = ada.call(in_force(platform))
    assert code(accept_security_policy, platform, call) is FunctionsErrorCode.PERMISSION_DENIED


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.PRIVACY])
def test_a_lesser_role_takes_one_person_and_reaches_the_claim(platform: Platform[Any], team: Team, role: Role) -> None:
    boss, ada = team.hire(Role.SECURITY), ready(team)
    auth.set_custom_user_claims(ada.uid, {"beta": True}, app=platform.app)
    assert grant_role(platform, boss.call(GrantRole(uid=ada.uid, role=role)))["state"] == "done"
    assert (ada.role(), ada.claim()) == (role, role.value)
    assert auth.get_user(ada.uid, app=platform.app).custom_claims["beta"] is True
    assert (staff.reference(platform.db, ada.uid).get().to_dict() or {})["claimDue"] is False
    assert code(grant_role, platform, boss.call(GrantRole(uid=ada.uid, role=role))) is FunctionsErrorCode.ALREADY_EXISTS


@pytest.mark.parametrize("role", [Role.SECURITY, Role.CTO])
def test_a_greater_role_takes_two_people_to_give_and_to_take(platform: Platform[Any], team: Team, role: Role) -> None:
    first, second, ada = team.hire(Role.CTO), team.hire(Role.SECURITY), ready(team)
    grant, revoke = GrantRole(uid=ada.uid, role=role), RevokeRole(uid=ada.uid)
    assert grant_role(platform, first.call(grant))["state"] == "proposed"
    assert (ada.role(), ada.claim()) == (None, None)
    assert grant_role(platform, second.call(grant))["state"] == "done"
    assert (ada.role(), ada.claim()) == (role, role.value)
    fields = staff.reference(platform.db, ada.uid).get().to_dict() or {}
    assert fields["grantedBy"] == [first.subject, second.subject]
    assert revoke_role(platform, second.call(revoke))["state"] == "proposed"
    assert ada.role() is role
    assert revoke_role(platform, first.call(revoke))["state"] == "done"
    assert (ada.role(), ada.claim()) == (None, None)


def test_a_first_cto_is_not_stuck_alone(platform: Platform[Any], team: Team) -> None:
    boss, priya, sam = ready(team), ready(team), ready(team)
    staff_command.appoint_first(platform, boss.uid)
    grant_role(platform, boss.call(GrantRole(uid=priya.uid, role=Role.PRIVACY)))
    grant = GrantRole(uid=sam.uid, role=Role.SECURITY)
    # Who may confirm may not begin.
    assert code(grant_role, platform, priya.call(grant)) is FunctionsErrorCode.PERMISSION_DENIED
    assert grant_role(platform, boss.call(grant))["state"] == "proposed"
    assert grant_role(platform, priya.call(grant))["state"] == "done"


def test_nobody_raises_themselves(platform: Platform[Any], team: Team) -> None:
    security, support = team.hire(Role.SECURITY), team.hire(Role.SUPPORT)
    for person in (security, support):
        for form in (GrantRole(uid=person.uid, role=Role.CTO), GrantRole(uid=person.uid, role=Role.PRIVACY)):
            assert code(grant_role, platform, person.call(form)) in (
                FunctionsErrorCode.PERMISSION_DENIED,
                FunctionsErrorCode.ALREADY_EXISTS,
            )
    assert (security.role(), support.role()) == (Role.SECURITY, Role.SUPPORT)
    assert code(revoke_role, platform, security.call(RevokeRole(uid=security.uid))) is (
        FunctionsErrorCode.PERMISSION_DENIED
    )


@pytest.mark.parametrize(
    "form", [{"role": "root"}, {"role": "CTO"}, {"role": None}, {"uid": "a/b"}, {"until": 1}, {"x": 1}]
)
def test_what_is_on_no_list_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(HttpsError) as refusal:
        parse(GrantRole, {"uid": "ada", "role": "support"} | form)
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_no_role_without_the_policy_nor_for_who_is_going(platform: Platform[Any], team: Team) -> None:
    boss, ada, eve = team.hire(Role.CTO), team.customer(), ready(team)
    assert code(grant_role, platform, boss.call(GrantRole(uid=ada.uid, role=Role.SUPPORT))) is (
        FunctionsErrorCode.FAILED_PRECONDITION
    )
    erasure.begin(platform, eve.uid, platform.clock())
    assert code(grant_role, platform, boss.call(GrantRole(uid=eve.uid, role=Role.SUPPORT))) is (
        FunctionsErrorCode.NOT_FOUND
    )
    assert code(revoke_role, platform, boss.call(RevokeRole(uid=ada.uid))) is FunctionsErrorCode.FAILED_PRECONDITION


def test_who_comes_back_accepts_anew(platform: Platform[Any], team: Team) -> None:
    boss, ada = team.hire(Role.CTO), ready(team)
    grant = GrantRole(uid=ada.uid, role=Role.SUPPORT)
    grant_role(platform, boss.call(grant))
    revoke_role(platform, boss.call(RevokeRole(uid=ada.uid)))
    assert code(grant_role, platform, boss.call(grant)) is FunctionsErrorCode.FAILED_PRECONDITION
    accept_security_policy(platform, ada.call(in_force(platform)))
    grant_role(platform, boss.call(grant))
    assert (ada.role(), ada.claim()) == (Role.SUPPORT, "support")


def test_a_contractors_role_ends_by_itself(platform: Platform[Any], team: Team) -> None:
    boss, ada = team.hire(Role.CTO), ready(team)
    until = platform.clock() + timedelta(days=90)
    form = parse(GrantRole, {"uid": ada.uid, "role": "support", "until": until.isoformat()})
    past = form.model_copy(update={"until": platform.clock()})
    assert code(grant_role, platform, boss.call(past)) is FunctionsErrorCode.INVALID_ARGUMENT
    grant_role(platform, boss.call(form))
    platform.clock.step(days=90, seconds=-1)  # type: ignore[attr-defined]
    end_roles(platform)
    assert ada.role() is Role.SUPPORT
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    assert ada.role() is None  # at once, whether or not the schedule has run
    for _ in range(2):
        end_roles(platform)
        mend(platform)
    assert ada.claim() is None
    assert [entry["record"]["state"] for entry in logged(platform, tlog.Action.ROLE_REVOKED)] == ["ended"]


def test_a_claim_that_a_crash_left_behind_is_mended(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, ada = team.hire(Role.CTO), team.hire(Role.SUPPORT)
    staff.mirror(platform, ada.uid)
    with monkeypatch.context() as down:
        down.setattr(auth, "set_custom_user_claims", lambda *_, **__: 1 / 0)
        assert revoke_role(platform, boss.call(RevokeRole(uid=ada.uid)))["state"] == "done"
    assert (ada.role(), ada.claim()) == (None, "support")
    mend(platform)
    assert ada.claim() is None


def test_one_account_that_can_not_be_mended_delays_no_other(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [team.hire(Role.SUPPORT) for _ in range(3)]
    poisoned, real = sorted(person.uid for person in people)[0], staff.mirror

    def mirror(platform: Platform[Any], uid: str) -> None:
        if uid == poisoned:
            raise RuntimeError("Auth says no")
        real(platform, uid)

    monkeypatch.setattr(staff, "mirror", mirror)
    mend(platform)
    assert sorted(str(person.claim()) for person in people) == ["None", "support", "support"]


def test_the_first_cto_has_accepted_and_is_the_first(platform: Platform[Any], team: Team) -> None:
    ada, bob = team.customer(), ready(team)
    with pytest.raises(LookupError, match="accept the security policy"):
        staff_command.appoint_first(platform, ada.uid)
    replace_security_policy(platform)
    with pytest.raises(LookupError, match="accept the security policy security-next"):
        staff_command.appoint_first(platform, bob.uid)
    ada.accept()
    staff_command.appoint_first(platform, ada.uid)
    assert (ada.role(), ada.claim()) == (Role.CTO, "cto")
    assert [entry["record"]["state"] for entry in logged(platform, tlog.Action.ROLE_GRANTED)] == ["first"]
    bob.accept()
    with pytest.raises(LookupError, match="there is a CTO already"):
        staff_command.appoint_first(platform, bob.uid)
    assert bob.role() is None


def test_the_command_says_why_not(stack: Stack) -> None:
    command = [sys.executable, "-m", "cli", "staff", "first-cto", "nobody", "--yes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 1
    assert "accept the security policy" in done.stderr or "there is a CTO already" in done.stderr
    assert "Traceback" not in done.stderr
