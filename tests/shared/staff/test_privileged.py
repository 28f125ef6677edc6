"""What every handler of staff's is wrapped in, tried on `place_hold`, which takes two people, and on `grant_role`."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import redis
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, policies, staff, tlog
from astra.runtime import rate_limits
from astra.runtime.callables import Call, Caller, parse
from astra.runtime.platform import Platform
from astra.staff import Role
from astra.staff.permissions import PERMISSIONS
from astra.staff.privileged import privileged
from astra.tlog import entries
from governance.legal_holds import PlaceHold, place_hold
from governance.roles import GrantRole, RevokeRole, grant_role, revoke_role
from tests.support.colleagues import Person, Team, logged, replace_security_policy


def hold(platform: Platform[Any], person: Person, **changes: Any) -> PlaceHold:
    form = {
        "uid": person.uid,
        "entries": ["sealed-images"],
        "basis": "Code of civil procedure 142, case 7 O 12/26",
        "expiresAt": (platform.clock() + timedelta(days=30)).isoformat(),
    }
    return parse(PlaceHold, form | changes)


def refused(code: FunctionsErrorCode, handler: Any, *args: Any) -> HttpsError:
    with pytest.raises(HttpsError) as refusal:
        handler(*args)
    assert refusal.value.code is code, refusal.value.message
    return refusal.value


def denials(platform: Platform[Any]) -> list[str]:
    return [entry["record"]["reason"] for entry in logged(platform, tlog.Action.ACCESS_DENIED)]


def test_the_action_and_its_entry_happen_together(platform: Platform[Any], team: Team) -> None:
    boss, ada = team.hire(Role.CTO), team.customer()
    ada.accept()
    grant_role(platform, boss.call(GrantRole(uid=ada.uid, role=Role.SUPPORT)))
    [entry] = logged(platform, tlog.Action.ROLE_GRANTED)
    assert entry["actor"] == boss.subject
    done = {"role": "support", "until": None, "state": "done", "approvers": [boss.subject]}
    assert entry["record"] == {**done, "subject": ada.subject}
    assert ada.role() is Role.SUPPORT


def test_without_an_entry_there_is_no_action(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, ada = team.hire(Role.CTO), team.customer()
    ada.accept()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the log is down")

    monkeypatch.setattr(tlog, "append", broken)
    with pytest.raises(RuntimeError):
        grant_role(platform, boss.call(GrantRole(uid=ada.uid, role=Role.SUPPORT)))
    assert ada.role() is None
    assert ada.claim() is None


def test_without_an_entry_there_is_no_proposal(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, ada = team.hire(Role.PRIVACY), team.hire(Role.SECURITY), team.customer()
    form = hold(platform, ada)
    with monkeypatch.context() as broken:
        broken.setattr(entries, "commitment", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            place_hold(platform, first.call(form))
    assert place_hold(platform, second.call(form))["state"] == "proposed"


def test_an_action_that_fails_leaves_no_entry(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, ada = team.hire(Role.CTO), team.customer()
    ada.accept()
    monkeypatch.setattr(staff, "granted", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        grant_role(platform, boss.call(GrantRole(uid=ada.uid, role=Role.SUPPORT)))
    assert logged(platform) == []


@pytest.mark.parametrize("role", [None, Role.SUPPORT])
def test_who_may_not_is_denied_and_that_is_logged(platform: Platform[Any], team: Team, role: Role | None) -> None:
    eve, ada = team.hire(role) if role else team.customer(), team.customer()
    refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, eve.call(hold(platform, ada)))
    [entry] = logged(platform)
    assert (entry["action"], entry["actor"]) == (tlog.Action.ACCESS_DENIED, eve.subject)
    assert entry["record"] == {"action": "governance:hold:place", "reason": "wrong-role" if role else "no-role"}
    assert eve.uid not in repr(entry)


def test_a_token_that_says_cto_is_worth_nothing_without_the_document(platform: Platform[Any], team: Team) -> None:
    eve = team.customer()
    auth.set_custom_user_claims(eve.uid, {"role": "cto"}, app=platform.app)
    refused(FunctionsErrorCode.PERMISSION_DENIED, grant_role, platform, eve.call(GrantRole(uid="x", role=Role.CTO)))


def test_denied_attempts_can_not_flood_the_log(platform: Platform[Any], team: Team) -> None:
    eve, ada = team.customer(), team.customer()
    for _ in range(8):
        refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, eve.call(hold(platform, ada)))
    assert len(denials(platform)) == 5


def test_where_attempts_can_not_be_counted_they_are_denied_all_the_same(platform: Platform[Any], team: Team) -> None:
    eve, ada = team.customer(), team.customer()
    nobody = redis.Redis(port=1, socket_timeout=0.1, retry=None)
    platform.__dict__["limits"] = rate_limits.Limits(nobody, platform.pseudonyms)
    refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, eve.call(hold(platform, ada)))
    assert denials(platform) == []


def test_a_denial_stands_though_it_can_not_be_logged(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve, ada = team.customer(), team.customer()
    monkeypatch.setattr(tlog, "append", lambda *_: 1 / 0)
    refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, eve.call(hold(platform, ada)))


def test_a_new_security_policy_locks_until_it_is_accepted(platform: Platform[Any], team: Team) -> None:
    boss, ada = team.hire(Role.CTO), team.customer()
    ada.accept()
    replace_security_policy(platform)
    grant = GrantRole(uid=ada.uid, role=Role.SUPPORT)
    refused(FunctionsErrorCode.FAILED_PRECONDITION, grant_role, platform, boss.call(grant))
    assert denials(platform) == ["security-policy-not-accepted"]
    boss.accept()
    # Ada has accepted the old one: she gets no role by that.
    assert (
        "security-next"
        in refused(FunctionsErrorCode.FAILED_PRECONDITION, grant_role, platform, boss.call(grant)).message
    )
    ada.accept()
    grant_role(platform, boss.call(grant))


def test_the_same_version_with_another_text_is_not_what_was_accepted(platform: Platform[Any], team: Team) -> None:
    boss, ada = team.hire(Role.CTO), team.customer()
    platform.db.document(f"{policies.SECURITY}/{policies.FIRST_SECURITY}").update({"sha256": "0" * 64})
    refused(FunctionsErrorCode.FAILED_PRECONDITION, place_hold, platform, boss.call(hold(platform, ada)))


def test_a_revoked_roles_live_token_is_refused_at_once(platform: Platform[Any], team: Team) -> None:
    boss, sam, ada = team.hire(Role.CTO), team.hire(Role.PRIVACY), team.customer()
    call = sam.call(hold(platform, ada))
    revoke_role(platform, boss.call(RevokeRole(uid=sam.uid)))
    # Whatever Auth says: the document alone is enough.
    refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, call)
    assert denials(platform) == ["no-role"]
    # And whatever the document says, once the sessions were ended.
    staff.reference(platform.db, sam.uid).update(staff.granted(Role.PRIVACY, [], platform.clock()))
    sam.accept()
    old = Call(call.data, Caller(sam.uid, platform.clock() - timedelta(hours=1), "token"))
    refused(FunctionsErrorCode.UNAUTHENTICATED, place_hold, platform, old)
    assert place_hold(platform, call)["state"] == "proposed"


@pytest.mark.parametrize("how", ["disabled", "deleted", "erasing", "role-ended"])
def test_who_is_gone_acts_no_more(platform: Platform[Any], team: Team, how: str) -> None:
    sam, ada = team.hire(Role.PRIVACY), team.customer()
    match how:
        case "disabled":
            auth.update_user(sam.uid, disabled=True, app=platform.app)
        case "deleted":
            auth.delete_user(sam.uid, app=platform.app)
        case "erasing":
            erasure.begin(platform, sam.uid, platform.clock())
        case "role-ended":
            staff.reference(platform.db, sam.uid).update({"until": platform.clock()})
    with pytest.raises(HttpsError) as refusal:
        place_hold(platform, sam.call(hold(platform, ada)))
    assert refusal.value.code in (FunctionsErrorCode.UNAUTHENTICATED, FunctionsErrorCode.PERMISSION_DENIED)
    assert not platform.db.document(f"holds/{ada.subject}").get().exists


def test_who_has_not_signed_in_is_asked_to(platform: Platform[Any], team: Team) -> None:
    call = team.customer().call(hold(platform, team.customer()))
    call.__dict__["signed_in"] = None
    refused(FunctionsErrorCode.UNAUTHENTICATED, place_hold, platform, call)


def test_it_takes_two_different_people(platform: Platform[Any], team: Team) -> None:
    first, second, ada = team.hire(Role.PRIVACY), team.hire(Role.SECURITY), team.customer()
    form = hold(platform, ada)
    proposed = [place_hold(platform, first.call(form)) for _ in range(3)]
    assert {answer["state"] for answer in proposed} == {"proposed"}
    assert len({answer["id"] for answer in proposed}) == 1
    assert not platform.db.document(f"holds/{ada.subject}").get().exists
    done = place_hold(platform, second.call(form))
    assert (done["id"], done["state"]) == (proposed[0]["id"], "done")
    assert place_hold(platform, second.call(form))["state"] == "proposed"  # what is done is not confirmed twice
    states = [entry["record"]["state"] for entry in logged(platform, tlog.Action.HOLD_PLACED)]
    assert sorted(states) == ["done", "proposed", "proposed", "proposed", "proposed"]


def test_only_exactly_the_same_is_a_confirmation(platform: Platform[Any], team: Team) -> None:
    first, second, ada, bob = team.hire(Role.PRIVACY), team.hire(Role.CTO), team.customer(), team.customer()
    place_hold(platform, first.call(hold(platform, ada, entries=["consents", "prompts"])))
    for other in (
        hold(platform, bob, entries=["consents", "prompts"]),
        hold(platform, ada, entries=["consents"]),
        hold(platform, ada, entries=["consents", "prompts"], basis="Another law, case 9"),
        hold(
            platform,
            ada,
            entries=["consents", "prompts"],
            expiresAt=(platform.clock() + timedelta(days=31)).isoformat(),
        ),
    ):
        assert place_hold(platform, second.call(other))["state"] == "proposed"
    same = hold(platform, ada, entries=["prompts", "consents", "prompts"])
    assert place_hold(platform, second.call(same))["state"] == "done"


@pytest.mark.parametrize(
    "how", ["expired", "kept", "revoked", "changed-role", "other-role", "back", "policy", "erasing"]
)
def test_a_proposal_counts_only_while_its_proposer_does(platform: Platform[Any], team: Team, how: str) -> None:
    first, second, ada = team.hire(Role.PRIVACY), team.hire(Role.CTO), team.customer()
    form, document = hold(platform, ada), staff.reference(platform.db, first.uid)
    place_hold(platform, first.call(form))
    match how:
        case "expired":
            platform.clock.step(days=3)  # type: ignore[attr-defined]
        case "kept":  # by a legal hold, beyond its time
            [proposal] = document.collection("proposals").get()
            proposal.reference.update({"expiredAt": platform.clock()})
        case "revoked":
            document.update(staff.revoked([], platform.clock()))
        case "changed-role":
            document.update({"role": "support"})
        case "other-role":  # one that may propose the same
            document.update({"role": "security"})
        case "back":
            document.update(staff.revoked([], platform.clock()))
            platform.clock.step(seconds=1)  # type: ignore[attr-defined]
            document.update(staff.granted(Role.PRIVACY, [], platform.clock()))
            first.accept()
        case "policy":
            replace_security_policy(platform)
            second.accept()
        case "erasing":
            erasure.begin(platform, first.uid, platform.clock())
    assert place_hold(platform, second.call(form))["state"] == "proposed"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("others", ["none", "one", "one who is gone"])
def test_who_made_the_second_person_is_not_confirmed_by_them(
    platform: Platform[Any], team: Team, order: int, others: str
) -> None:
    boss, puppet, ada = team.hire(Role.CTO), team.customer(), team.customer()
    puppet.accept()
    grant_role(platform, boss.call(GrantRole(uid=puppet.uid, role=Role.PRIVACY)))
    if others != "none":
        third = team.hire(Role.SECURITY)
    if others == "one who is gone":
        erasure.begin(platform, third.uid, platform.clock())
    first, second = (boss, puppet)[::order]
    form = hold(platform, ada)
    place_hold(platform, first.call(form))
    if others == "one":
        refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, second.call(form))
        assert denials(platform) == ["dependent"]
        assert place_hold(platform, third.call(form))["state"] == "done"
    else:  # there is nobody else: the first of all must be able to begin
        assert place_hold(platform, second.call(form))["state"] == "done"


def test_whom_two_people_appointed_is_the_second_of_either(platform: Platform[Any], team: Team) -> None:
    boss, sam, new, ada = team.hire(Role.CTO), team.hire(Role.SECURITY), team.customer(), team.customer()
    new.accept()
    for person in (boss, sam):
        grant_role(platform, person.call(GrantRole(uid=new.uid, role=Role.SECURITY)))
    form = hold(platform, ada)
    place_hold(platform, boss.call(form))
    assert place_hold(platform, new.call(form))["state"] == "done"


def test_just_before_it_ends_a_proposal_counts(platform: Platform[Any], team: Team) -> None:
    first, second, ada = team.hire(Role.PRIVACY), team.hire(Role.CTO), team.customer()
    form = hold(platform, ada)
    place_hold(platform, first.call(form))
    platform.clock.step(days=3, seconds=-1)  # type: ignore[attr-defined]
    assert place_hold(platform, second.call(form))["state"] == "done"


def test_nobody_decides_about_themselves(platform: Platform[Any], team: Team) -> None:
    first, second = team.hire(Role.PRIVACY), team.hire(Role.CTO)
    form = hold(platform, first)
    refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, first.call(form))
    place_hold(platform, second.call(form))
    refused(FunctionsErrorCode.PERMISSION_DENIED, place_hold, platform, first.call(form))
    assert denials(platform) == ["concerns-themselves", "concerns-themselves"]


def test_of_a_crowd_that_confirms_one_does_it(platform: Platform[Any], team: Team) -> None:
    first, ada = team.hire(Role.PRIVACY), team.customer()
    crowd = [team.hire(Role.CTO) for _ in range(4)]
    form = hold(platform, ada)
    place_hold(platform, first.call(form))
    with ThreadPoolExecutor(4) as hands:
        answers = list(hands.map(lambda one: place_hold(platform, one.call(form)), crowd))
    held = platform.db.document(f"holds/{ada.subject}").get().to_dict() or {}
    done = [answer["holdId"] for answer in answers if answer["state"] == "done"]
    assert sorted(held) == sorted(done)
    assert 1 <= len(done) <= 2  # of the other three, two can be a pair of their own
    assert first.subject in {name for one in held.values() for name in one["approvers"]}
    assert all(len(set(one["approvers"])) == 2 for one in held.values())


def test_the_wrapper_says_which_action_it_is_for() -> None:
    assert place_hold.__privileged__ is tlog.Action.HOLD_PLACED  # type: ignore[attr-defined]
    with pytest.raises(KeyError):  # nobody may do what has no line among the permissions
        privileged(tlog.Action.KEY_ANNOUNCED)(place_hold)


def test_what_contains_a_breach_is_done_while_staff_access_is_frozen() -> None:
    going_on = {action for action, permission in PERMISSIONS.items() if permission.while_frozen}
    of_breaches = {tlog.Action(name) for name in tlog.Action if name.startswith("breach:")} & PERMISSIONS.keys()
    # The roll call can be switched off, and not on: see `roll_call_switch`.
    others = {tlog.Action.ROLE_REVOKED, tlog.Action.HOLD_PLACED, tlog.Action.ROLL_CALL_SWITCHED}
    assert going_on == of_breaches | others
