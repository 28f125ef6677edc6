"""What governance keeps of somebody goes with them, but for the register's line under a pseudonym."""

from datetime import timedelta
from typing import Any

from astra import erasure, staff
from astra.runtime.platform import Platform
from astra.staff import Role
from governance.child_removal import RemoveChild, Step, remove_child
from governance.disclosures import RecordDisclosure, record_disclosure
from governance.legal_holds import PlaceHold, place_hold
from governance.roles import RevokeRole, revoke_role
from local.stack import Stack
from tests.colleagues import Person, Team
from tests.people import Somebody


def confirmed(platform: Platform[Any], pair: tuple[Person, Person], handler: Any, form: Any) -> None:
    assert [handler(platform, person.call(form))["state"] for person in pair] == ["proposed", "done"]


def test_a_member_of_staff_is_erased_like_anybody(platform: Platform[Any], team: Team, stack: Stack) -> None:
    sam, boss, ada = Somebody(platform), team.hire(Role.CTO), team.customer()
    acting = Person(platform, sam.uid)
    acting.accept()
    staff.reference(platform.db, sam.uid).update(staff.granted(Role.SECURITY, [], platform.clock()))
    until = platform.clock() + timedelta(days=365)
    place_hold(platform, acting.call(PlaceHold(uid=ada.uid, entries=["consents"], basis="a law", expiresAt=until)))
    revoke_role(platform, boss.call(RevokeRole(uid=sam.uid)))
    acting.profile.collection("notices").document("x").set({"title": sam.uid})
    sam.ask()
    assert sam.finish()["state"] == "verified"
    assert sam.traces(stack) == []


def test_a_child_is_erased_with_the_report_and_the_untold_disclosure(
    platform: Platform[Any], team: Team, stack: Stack
) -> None:
    kim, pair = Somebody(platform), (team.hire(Role.PRIVACY), team.hire(Role.SECURITY))
    asked = RecordDisclosure.model_validate(
        {
            "uid": kim.uid,
            "ground": "personal-safety",
            "recipient": "Family court",
            "processReference": "CASE 17",
            "scope": ["profile"],
            "gag": {"basis": "a law", "until": platform.clock() + timedelta(days=365)},
        }
    )
    confirmed(platform, pair, record_disclosure, asked)
    for step in (Step.FREEZE, Step.ERASE):
        confirmed(platform, pair, remove_child, RemoveChild(uid=kim.uid, step=step, reference="TICKET-1"))
    assert platform.db.document(f"removals/{kim.uid}").get().exists
    job = kim.finish()
    assert job["state"] == "verified"
    lines, rest = job["certificate"]["stores"], {**job["certificate"], "stores": []}
    assert not [line for line in lines if "disclos" in repr(line)], "the ban on telling is not over"
    assert "ban on telling" in rest["leftOut"]
    assert "disclos" not in repr(rest)
    assert kim.traces(stack) == []
    assert (platform.db.document(f"disclosures/{kim.subject}").get().to_dict() or {}) != {}
    assert erasure.reference(platform.db, kim.subject).get().exists
