"""The roll call's switch: two people, the newest report, and an alarm while it is off."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import jobs, tlog
from astra.erasure import roll_call
from astra.erasure.roll_call import Stop
from astra.runtime.callables import parse
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.staff import Role, freezes
from governance import schedule
from governance.processor_register import look
from governance.roll_call_switch import SwitchRollCall, switch_roll_call
from tests.colleagues import Person, Team, logged

FOUND: dict[str, Any] = {
    "accounts": 40,
    "withoutProfile": 2,
    "orphans": [{"subject": "f" * 64, "places": ["users"]}],
    "more": 0,
    "restored": [],
    "contradictions": 0,
    "oddNames": 0,
    "withinLimits": True,
}


@pytest.fixture
def pair(platform: Platform[Any], team: Team) -> tuple[Person, Person]:
    roll_call.switch(platform.db).delete()
    return team.hire(Role.PRIVACY), team.hire(Role.SECURITY)


def report(platform: Platform[Any], **changes: Any) -> str:
    """Store what a dry run has found now. Returns its digest."""
    found = roll_call.sealed({"at": iso(platform.clock()), **FOUND, **changes})
    roll_call.report(platform.db).set(found)
    return str(found["digest"])


def ask(person: Person, **data: Any) -> dict[str, Any]:
    return dict(switch_roll_call(person.platform, person.call(parse(SwitchRollCall, data))))


def refusal(person: Person, **data: Any) -> HttpsError:
    with pytest.raises(HttpsError) as refused:
        ask(person, **data)
    return refused.value


def test_two_people_switch_it_on_and_one_switches_it_off(platform: Platform[Any], pair: tuple[Person, Person]) -> None:
    digest = report(platform)
    assert ask(pair[0], enabled=True, report=digest)["state"] == "proposed"
    assert ask(pair[0], enabled=True, report=digest)["state"] == "proposed", "the same person twice is one"
    assert not roll_call.is_on(platform.db)
    assert ask(pair[1], enabled=True, report=digest)["state"] == "done"
    assert roll_call.is_on(platform.db)
    fields = roll_call.switch(platform.db).get().to_dict() or {}
    assert (fields["report"], sorted(fields["approvers"])) == (digest, sorted(person.subject for person in pair))
    assert ask(pair[1], enabled=False)["state"] == "done"
    assert not roll_call.is_on(platform.db)
    records = [entry["record"] for entry in logged(platform, tlog.Action.ROLL_CALL_SWITCHED)]
    done = [(one["enabled"], one["report"]) for one in records if one["state"] == "done"]
    assert sorted(done) == [(False, None), (True, digest)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"contradictions": 3}, "contradicted itself about 3"), ({"withinLimits": False}, "more people than")],
)
def test_a_report_that_shows_trouble_switches_nothing_on(
    platform: Platform[Any], pair: tuple[Person, Person], changes: dict[str, Any], why: str
) -> None:
    refused = refusal(pair[0], enabled=True, report=report(platform, **changes))
    assert refused.code is FunctionsErrorCode.FAILED_PRECONDITION
    assert why in refused.message
    assert "--dry-run" in refused.message, "it says what to do next"


def test_only_the_newest_report_counts_and_none_older_than_a_week(
    platform: Platform[Any], pair: tuple[Person, Person]
) -> None:
    assert "newest" in refusal(pair[0], enabled=True, report="0" * 64).message
    older = report(platform)
    newer = report(platform, accounts=41)
    assert "newest" in refusal(pair[0], enabled=True, report=older).message
    assert ask(pair[0], enabled=True, report=newer)["state"] == "proposed"
    platform.clock.step(days=7, minutes=1)  # type: ignore[attr-defined]
    assert "7 days" in refusal(pair[1], enabled=True, report=newer).message
    assert not roll_call.is_on(platform.db)


def test_a_report_that_was_changed_where_it_is_stored_switches_nothing_on(
    platform: Platform[Any], pair: tuple[Person, Person]
) -> None:
    digest = report(platform, contradictions=3)
    roll_call.report(platform.db).update({"contradictions": 0})
    assert "newest" in refusal(pair[0], enabled=True, report=digest).message


@pytest.mark.parametrize("data", [{"enabled": True}, {"enabled": False, "report": "0" * 64}])
def test_a_report_goes_with_switching_it_on_alone(pair: tuple[Person, Person], data: dict[str, Any]) -> None:
    assert refusal(pair[0], **data).code is FunctionsErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("enabled", [True, False])
def test_either_way_a_round_begins_anew_and_knows_whom_it_froze(
    platform: Platform[Any], pair: tuple[Person, Person], enabled: bool
) -> None:
    suspects = {"f" * 64: {"seenAt": platform.clock(), "frozen": True, "frozenAt": None}}
    stopped = jobs.opened(platform.clock(), **roll_call.begun()) | jobs.STOPPED
    roll_call.job(platform.db).set({**stopped, "stopped": "contradiction", "suspects": suspects, "phase": "act"})
    digest = report(platform)
    for person in pair:
        ask(person, **({"enabled": True, "report": digest} if enabled else {"enabled": False}))
    fields = roll_call.job(platform.db).get().to_dict() or {}
    assert (fields["state"], fields["stopped"], fields["phase"]) == ("running", None, "look")
    assert fields["suspects"] == suspects
    assert fields["nextRunAt"] == platform.clock()


def test_while_a_breach_is_contained_it_can_be_switched_off_and_not_on(
    platform: Platform[Any], pair: tuple[Person, Person]
) -> None:
    digest = report(platform)
    freezes.reference(platform.db, freezes.Control.STAFF).set({"frozen": True})
    assert "being contained" in refusal(pair[0], enabled=True, report=digest).message
    assert ask(pair[0], enabled=False)["state"] == "done"


def test_support_may_not(platform: Platform[Any], team: Team) -> None:
    person = team.hire(Role.SUPPORT)
    assert refusal(person, enabled=False).code is FunctionsErrorCode.PERMISSION_DENIED


def test_while_it_is_off_or_has_stopped_staff_are_told_and_the_log_says_so_every_hour(
    platform: Platform[Any], pair: tuple[Person, Person], capsys: pytest.CaptureFixture[str]
) -> None:
    def alarm() -> str:
        capsys.readouterr()
        schedule.review(platform)
        platform.clock.step(hours=1)  # type: ignore[attr-defined]
        return capsys.readouterr().out

    for _ in range(2):
        assert '"severity": "ERROR", "event": "roll-call.idle", "trouble": "off", "stopped": null' in alarm()
    assert [notice["title"] for notice in pair[0].notices() if "Roll call" in notice["title"]] == ["Roll call: off"]
    on = roll_call.switched(enabled=True, report=None, approvers=[], now=platform.clock())
    roll_call.switch(platform.db).set(on)
    assert "roll-call.idle" not in alarm()
    assert (platform.db.document("findings/off.roll-call").get().to_dict() or {})["closedAt"]
    stopped = jobs.opened(platform.clock(), **roll_call.begun()) | jobs.STOPPED
    for stop, expected in ((Stop.CONTRADICTION, "contradiction"), (None, "failed")):
        roll_call.job(platform.db).set({**stopped, "stopped": stop and stop.value})
        assert f'"trouble": "stopped", "stopped": "{expected}"' in alarm()
        assert "STOPPED" in roll_call.state_line(platform.db)
    look(platform)
    assert (platform.db.document("findings/stopped.roll-call").get().to_dict() or {})["closedAt"] is None


def test_its_state_in_one_sentence(platform: Platform[Any], pair: tuple[Person, Person]) -> None:
    assert roll_call.state_line(platform.db).startswith("roll call: OFF.")
    digest = report(platform)
    for person in pair:
        ask(person, enabled=True, report=digest)
    assert roll_call.state_line(platform.db).startswith("roll call: on since ")


def test_a_week_is_a_week(platform: Platform[Any]) -> None:
    digest = report(platform)
    found = roll_call.report(platform.db).get().to_dict()
    assert roll_call.refusal(found, digest, platform.clock() + timedelta(days=6, hours=23)) is None
