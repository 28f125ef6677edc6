"""Holds through staff's own functions: who is told, what waits, and when it goes on."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import erasure, tlog
from astra.datamap.model import Disposition
from astra.datamap.table import DATA_MAP
from astra.erasure import legal_holds
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from governance.legal_holds import PlaceHold, ReleaseHold, place_hold, release_hold
from tests.colleagues import Team, logged
from tests.people import Somebody

BASIS = "Code of civil procedure 142, case 7 O 12/26"


class Bench:
    """Two people who place and release."""

    def __init__(self, team: Team) -> None:
        self.team, self.platform = team, team.platform
        self.pair = (team.hire(Role.PRIVACY), team.hire(Role.SECURITY))

    def both(self, handler: Any, form: Any) -> dict[str, Any]:
        first, second = (handler(self.platform, person.call(form)) for person in self.pair)
        assert (first["state"], second["state"]) == ("proposed", "done")
        return dict(second)

    def form(self, uid: str, *entries: str, days: float = 30, **changes: Any) -> PlaceHold:
        until = (self.platform.clock() + timedelta(days=days)).isoformat()
        return parse(PlaceHold, {"uid": uid, "entries": list(entries), "basis": BASIS, "expiresAt": until} | changes)


@pytest.fixture
def bench(team: Team) -> Bench:
    return Bench(team)


def test_the_person_is_told_the_categories_the_basis_and_the_end(platform: Platform[Any], bench: Bench) -> None:
    ada = bench.team.customer()
    answer = bench.both(place_hold, bench.form(ada.uid, "sealed-images", "consents"))
    held = (platform.db.document(f"holds/{ada.subject}").get().to_dict() or {})[answer["holdId"]]
    assert (held["entries"], held["basis"]) == (["consents", "sealed-images"], BASIS)
    assert held["approvers"] == sorted(person.subject for person in bench.pair)
    [notice] = ada.notices()
    assert notice["kind"] == "legal-hold"
    assert "what was agreed to, and when" in notice["body"]
    assert "images, encrypted under the user's key" in notice["body"]
    assert BASIS in notice["body"]


def test_the_log_commits_to_the_basis_and_does_not_repeat_it(platform: Platform[Any], bench: Bench) -> None:
    ada = bench.team.customer()
    bench.both(place_hold, bench.form(ada.uid, "consents", basis="Letter of Mr Example, case 4"))
    entries = logged(platform, tlog.Action.HOLD_PLACED)
    assert len(entries) == 2
    assert "Example" not in repr(entries)
    assert ada.uid not in repr(entries)
    assert {len(entry["record"]["basisSha256"]) for entry in entries} == {64}


@pytest.mark.parametrize(
    "change",
    [
        {"entries": []},
        {"entries": ["everything"]},
        {"entries": ["erasure"]},
        {
            "entries": [
                entry.name for entry in DATA_MAP if entry.disposition is Disposition.DELETE and not entry.passing
            ]
        },
        {"entries": ["uploads"]},
        {"days": -1},
        {"days": 367},
    ],
)
def test_a_hold_on_everything_or_without_an_end_is_refused(bench: Bench, change: dict[str, Any]) -> None:
    ada = bench.team.customer()
    names = change.pop("entries", ["consents"])
    with pytest.raises(HttpsError) as refusal:
        place_hold(bench.platform, bench.pair[0].call(bench.form(ada.uid, *names, **change)))
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    assert ada.notices() == []


@pytest.mark.parametrize(
    "change",
    [{"basis": ""}, {"basis": "  "}, {"basis": None}, {"expiresAt": 1}, {"expiresAt": "soon"}, {"approvers": ["x"]}],
)
def test_a_hold_names_a_basis_and_a_time(bench: Bench, change: dict[str, Any]) -> None:
    with pytest.raises(HttpsError) as refusal:
        bench.form("ada", "consents", **change)
    assert refusal.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_of_nobody_there_is_nothing_to_hold(bench: Bench) -> None:
    with pytest.raises(HttpsError) as refusal:
        place_hold(bench.platform, bench.pair[0].call(bench.form("nobody", "consents")))
    assert refusal.value.code is FunctionsErrorCode.NOT_FOUND


def test_a_hold_in_the_middle_of_an_erasure_keeps_what_is_left_and_releasing_it_goes_on(
    platform: Platform[Any], bench: Bench
) -> None:
    ada = Somebody(platform)
    ada.ask()
    ada.work()
    answer = bench.both(place_hold, bench.form(ada.uid, "account"))
    assert platform.db.collection(f"users/{ada.uid}/notices").get() == []  # nobody there to be told
    assert legal_holds.held(legal_holds.reference(platform.db, ada.subject).get(), platform.clock()).keys() == {
        "account"
    }
    release = ReleaseHold(uid=ada.uid, holdId=answer["holdId"])
    erasure.reference(platform.db, ada.subject).update({"step": erasure.HELD, "nextRunAt": None})
    bench.both(release_hold, release)
    assert erasure.reference(platform.db, ada.subject).get().get("nextRunAt") == platform.clock()
    assert legal_holds.held(legal_holds.reference(platform.db, ada.subject).get(), platform.clock()) == {}


def test_no_other_hold_ends_with_it(platform: Platform[Any], bench: Bench) -> None:
    ada = bench.team.customer()
    first = bench.both(place_hold, bench.form(ada.uid, "consents"))
    bench.both(place_hold, bench.form(ada.uid, "prompts"))
    bench.both(release_hold, ReleaseHold(uid=ada.uid, holdId=first["holdId"]))
    assert legal_holds.held(legal_holds.reference(platform.db, ada.subject).get(), platform.clock()).keys() == {
        "prompts"
    }
    with pytest.raises(HttpsError) as refusal:
        release_hold(platform, bench.pair[0].call(ReleaseHold(uid=ada.uid, holdId="0" * 16)))
    assert refusal.value.code is FunctionsErrorCode.NOT_FOUND
