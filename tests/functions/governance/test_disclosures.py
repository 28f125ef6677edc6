"""The register of disclosures, and that nobody is left untold for longer than a ban lasts."""

import re
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, tlog
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from governance import disclosures
from governance.disclosures import _GROUND, Ground, RecordDisclosure, record_disclosure, tell
from local.paths import ROOT
from tests.support.colleagues import Person, Team, logged


def form(uid: str, **changes: Any) -> RecordDisclosure:
    fields = {
        "uid": uid,
        "ground": "legal-obligation",
        "recipient": "New York County District Court",
        "processReference": "SUB-2026-0042",
        "scope": ["profile", "sealed-images"],
    }
    return parse(RecordDisclosure, fields | changes)


class Office:
    """Two people who approve disclosures."""

    def __init__(self, team: Team) -> None:
        self.platform = team.platform
        self.pair = (team.hire(Role.PRIVACY), team.hire(Role.CTO))

    def disclose(self, asked: RecordDisclosure) -> str:
        first, second = (record_disclosure(self.platform, person.call(asked)) for person in self.pair)
        assert (first["state"], second["state"]) == ("proposed", "done")
        return str(second["disclosureId"])

    def line(self, ada: Person, name: str) -> dict[str, Any]:
        fields = self.platform.db.document(f"disclosures/{ada.subject}").get().to_dict() or {}
        line: dict[str, Any] = fields[name]
        return line

    def gag(self, days: float) -> dict[str, str]:
        return {"basis": "18 U.S.C. 2705(b)", "until": (self.platform.clock() + timedelta(days=days)).isoformat()}


@pytest.fixture
def office(team: Team) -> Office:
    return Office(team)


def test_the_grounds_are_the_policys_five_and_in_its_words() -> None:
    text = (ROOT / "shared/astra/policies/texts/2025-08-02.txt").read_text(encoding="utf-8")
    bullets = re.search(r"such action is necessary to:\n((?:- .*\n)+)", text)
    assert bullets
    stated = [line.removeprefix("- ").lower() for line in bullets[1].strip().splitlines()]
    assert [_GROUND[ground].removeprefix("to ").lower() for ground in Ground] == stated
    assert len(Ground) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"ground": "curiosity"},
        {"ground": None},
        {"processReference": ""},
        {"recipient": ""},
        {"scope": []},
        {"scope": ["everything"]},
        {"scope": "profile"},
        {"gag": {"basis": "a law"}},
        {"gag": {"until": "2027-01-01T00:00:00Z"}},
        {"gag": {"basis": "a law", "until": "2027-01-01"}},
        {"tell": False},
    ],
)
def test_no_disclosure_without_ground_process_and_scope(change: dict[str, Any]) -> None:
    with pytest.raises(HttpsError) as refusal:
        form("ada", **change)
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("ground", list(Ground))
def test_two_people_approve_and_the_person_is_told_at_once(
    platform: Platform[Any], team: Team, office: Office, ground: Ground
) -> None:
    ada = team.customer()
    asked = form(ada.uid, ground=ground.value)
    record_disclosure(platform, office.pair[0].call(asked))
    assert ada.notices() == []
    assert not platform.db.document(f"disclosures/{ada.subject}").get().exists
    line = office.line(ada, record_disclosure(platform, office.pair[1].call(asked))["disclosureId"])
    assert line["approvers"] == [person.subject for person in office.pair]
    assert (line["ground"], line["scope"]) == (ground.value, ["profile", "sealed-images"])
    assert (line["toldAt"], line["gag"]) == (platform.clock(), None)
    [notice] = ada.notices()
    for part in ("New York County District Court", "SUB-2026-0042", _GROUND[ground], "name, e-mail address, settings"):
        assert part in notice["body"]


def test_the_log_holds_no_text_that_could_name_anybody(platform: Platform[Any], team: Team, office: Office) -> None:
    ada = team.customer()
    office.disclose(form(ada.uid, recipient="Detective Example"))
    entries = logged(platform, tlog.Action.DISCLOSURE_RECORDED)
    assert [entry["record"]["state"] for entry in entries].count("done") == 1
    assert "Example" not in repr(entries)
    assert ada.uid not in repr(entries)


def test_a_ban_is_kept_until_it_ends_and_not_a_second_longer(
    platform: Platform[Any], team: Team, office: Office
) -> None:
    ada, bob = team.customer(), team.customer()
    name = office.disclose(form(ada.uid, gag=office.gag(90)))
    other = office.disclose(form(bob.uid, gag=office.gag(91)))
    platform.clock.step(days=90, seconds=-1)  # type: ignore[attr-defined]
    assert tell(platform) == 0
    assert ada.notices() == []
    assert office.line(ada, name)["toldAt"] is None
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    assert [tell(platform) for _ in range(2)] == [1, 0]
    [notice] = ada.notices()
    assert (notice["kind"], notice["createdAt"]) == ("disclosure", platform.clock())
    assert "SUB-2026-0042" in notice["body"]
    assert office.line(ada, name)["toldAt"] == platform.clock()
    assert ada.profile.collection("gags").get() == []
    assert office.line(bob, other)["toldAt"] is None
    assert [entry["record"]["disclosureId"] for entry in logged(platform, tlog.Action.DISCLOSURE_TOLD)] == [name]


def test_one_who_can_not_be_told_keeps_no_other_from_knowing(
    platform: Platform[Any], team: Team, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [team.customer() for _ in range(2)]
    for days, person in enumerate(people, 1):
        office.disclose(form(person.uid, gag=office.gag(days)))
    platform.clock.step(days=3)  # type: ignore[attr-defined]
    real = disclosures._tell

    def poisoned(platform: Platform[Any], gag: Any) -> bool:
        if people[0].uid in gag.path:
            raise RuntimeError("this one never works")
        return real(platform, gag)

    monkeypatch.setattr(disclosures, "_tell", poisoned)
    assert tell(platform) == 1
    assert [len(person.notices()) for person in people] == [0, 1]


@pytest.mark.parametrize("days", [-1, 0, 367, 10_000])
def test_a_ban_that_has_no_near_end_is_refused(
    platform: Platform[Any], team: Team, office: Office, days: float
) -> None:
    ada = team.customer()
    with pytest.raises(HttpsError) as refusal:
        record_disclosure(platform, office.pair[0].call(form(ada.uid, gag=office.gag(days))))
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_who_is_being_erased_is_not_written_to(platform: Platform[Any], team: Team, office: Office) -> None:
    ada, bob = team.customer(), team.customer()
    office.disclose(form(bob.uid, gag=office.gag(1)))
    for person in (ada, bob):
        erasure.begin(platform, person.uid, platform.clock())
    line = office.line(ada, office.disclose(form(ada.uid)))  # what is held of her may still be asked for
    assert line["toldAt"] is None
    platform.clock.step(days=2)  # type: ignore[attr-defined]
    assert tell(platform) == 0
    assert ada.notices() == bob.notices() == []


def test_of_nobody_nothing_is_disclosed(platform: Platform[Any], office: Office) -> None:
    with pytest.raises(HttpsError) as refusal:
        record_disclosure(platform, office.pair[0].call(form("nobody")))
    assert refusal.value.code is FunctionsErrorCode.NOT_FOUND
