"""What people decide: who may, what starts the clocks, what is said, what is over."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

import alarms
import deciding
from astra import tlog
from astra.callables import parse
from tests.colleagues import logged
from tests.functions.breach.office import SAID, Office, refused


def test_a_report_opens_a_case_and_calls_security(office: Office) -> None:
    name = office.report()
    incident = office.incident(name)
    assert (incident["state"], incident["severity"], incident["detector"]) == ("suspected", 1, "reported")
    assert [len(person.notices()) for person in (office.ada, office.bob, office.carol)] == [1, 1, 0]
    [entry] = logged(office.platform, tlog.Action.INCIDENT_OPENED)
    assert entry["actor"] == office.ada.subject
    assert "laptop" not in str(entry["record"])


@pytest.mark.parametrize(
    "change",
    [
        {"awareAt": -7200},
        {"awareAt": 60},
        {"occurredFrom": 60},
        {"occurredUntil": 60},
        {"occurredFrom": -500 * 86400},
        {"occurredUntil": -8 * 3600},
    ],
)
def test_times_that_cant_be_are_refused(office: Office, change: dict[str, int]) -> None:
    name = office.report()
    wrong = {field: (office.clock() + timedelta(seconds=by)).isoformat() for field, by in change.items()}
    with pytest.raises(HttpsError) as refused:
        office.confirm(name, **wrong)
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    assert office.incident(name)["state"] == "suspected"


def test_one_person_of_security_confirms_and_nobody_else(office: Office) -> None:
    name = office.report()
    with refused("role"):
        office.confirm(name, who=office.carol)
    assert office.confirm(name)["state"] == "done"
    incident = office.incident(name)
    assert (incident["state"], incident["awareAt"]) == ("confirmed", office.clock())
    with refused("confirmed already"):
        office.confirm(name)
    with refused("no such incident"):
        office.confirm("f" * 20)


def test_nothing_runs_before_somebody_confirms(office: Office) -> None:
    office.report()
    office.clock.step(days=400)
    alarms.sound(office.platform)
    assert logged(office.platform, tlog.Action.CLOCK_ALARMED) == []


def called(office: Office) -> list[tuple[str, int]]:
    found = [entry["record"] for entry in logged(office.platform, tlog.Action.CLOCK_ALARMED)]
    return sorted((record["clock"], record["percent"]) for record in found)


def test_each_alarm_calls_once_however_often_it_is_looked_for(office: Office) -> None:
    name = office.report()
    office.confirm(name)
    office.db.document(f"incidents/{name}").update({"affected": {"DE": 1}, "alertDue": False})
    for hours, expected in (
        (11, []),
        (12, [("own-draft", 50)]),
        (20, [("own-draft", 50), ("own-draft", 80)]),
        (24, [("own-draft", 50), ("own-draft", 80), ("own-draft", 95)]),
    ):
        office.clock.now = office.incident(name)["awareAt"] + timedelta(hours=hours)
        for _ in range(2):
            alarms.sound(office.platform)
        assert called(office) == expected, hours
    assert office.incident(name)["alertDue"] is True
    office.clock.now = office.incident(name)["awareAt"] + timedelta(hours=73)
    alarms.sound(office.platform)
    assert {(clock, percent) for clock, percent in called(office) if percent == 100} == {
        ("own-draft", 100),
        ("own-people", 100),
        ("gdpr-authority", 100),
        ("gdpr-people", 100),
    }
    titles = {notice["title"] for notice in office.ada.notices()}
    assert "gdpr-authority: overdue" in titles


def test_a_letter_that_may_wait_moves_its_alarms(office: Office) -> None:
    name = office.report()
    office.confirm(name)
    until = office.clock() + timedelta(days=30)
    form = {
        "incidentId": name,
        "basis": "N.Y. Gen. Bus. Law 899-aa(4), letter of the State Police",
        "until": until.isoformat(),
    }
    deciding.delay_notice(office.platform, office.ada.call(parse(deciding.DelayNotice, form)))
    assert office.incident(name)["delay"]["until"] == until
    office.clock.step(hours=73)
    alarms.sound(office.platform)
    overdue = {clock for clock, percent in called(office) if percent == 100}
    assert "gdpr-authority" in overdue
    assert "own-people" not in overdue
    with refused("The law has us wait until"):
        office.gather(name)
        office.db.document(f"incidents/{name}").update({"cohort": "frozen"})
        office.approve(name, office.ada, sha256="0" * 64)
    lifted = parse(deciding.DelayNotice, {**form, "until": None})
    deciding.delay_notice(office.platform, office.ada.call(lifted))
    assert office.incident(name)["delay"] is None
    too_long = {**form, "until": (office.clock() + timedelta(days=91)).isoformat()}
    with refused("90 days"):
        deciding.delay_notice(office.platform, office.ada.call(parse(deciding.DelayNotice, too_long)))


@pytest.mark.parametrize("text", ["See https://evil.example", "go to WWW.evil.example", "a\x00b", "", "x" * 3001])
def test_what_is_said_has_no_links(office: Office, text: str) -> None:
    with pytest.raises(HttpsError) as refused:
        parse(deciding.DescribeIncident, {"incidentId": "f" * 20, "youCanDo": text})
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_the_draft_is_there_once_what_it_needs_is_said(office: Office) -> None:
    name = office.report()
    office.confirm(name)
    office.describe(name, nature=SAID["nature"], contact=SAID["contact"])
    assert "met" not in office.incident(name)
    office.describe(name, measures=SAID["measures"])
    assert office.incident(name)["met"]["own-draft"]["at"] == office.clock()


def test_a_regulator_is_told_in_phases_and_what_is_missing_is_named(office: Office) -> None:
    name = office.report()
    office.confirm(name)
    office.describe(name, nature=SAID["nature"], contact=SAID["contact"])
    with pytest.raises(Exception, match="measures missing"):
        office.tell(name, "gdpr-authority", "initial")
    office.describe(name, measures=SAID["measures"])
    office.tell(name, "gdpr-authority", "initial")
    met = office.incident(name)["met"]["gdpr-authority"]["at"]
    with pytest.raises(Exception, match="consequences, exposed, affected missing"):
        office.tell(name, "gdpr-authority", "final")
    office.describe(name, consequences=SAID["consequences"])
    office.db.document(f"incidents/{name}").update(
        {"exposed": ["profile"], "affected": {"DE": 2}, "numbers": {"records": 4}}
    )
    office.clock.step(days=9)
    office.tell(name, "gdpr-authority", "final")
    incident = office.incident(name)
    assert incident["met"]["gdpr-authority"]["at"] == met, "an update does not make the first one late"
    phases = {number: row["phase"] for number, row in incident["filings"]["gdpr-authority"].items()}
    assert phases == {"n1": "initial", "n2": "final"}
    texts = [one.to_dict() or {} for one in office.db.collection("incidents", name, "filings").stream()]
    assert any("People affected: not known yet" in one["text"] for one in texts)
    assert any("People affected: 2 (DE: 2)" in one["text"] for one in texts)


def test_late_needs_reasons_and_the_very_text_is_what_counts(office: Office) -> None:
    name = office.report()
    office.confirm(name)
    office.describe(name)
    office.clock.step(hours=73)
    with refused("delayReason"):
        office.tell(name, "gdpr-authority", "initial")
    with refused("something else"):
        office.tell(name, "gdpr-authority", "initial", reason="It was found late.", sha256="0" * 64)
    office.tell(name, "gdpr-authority", "initial", reason="It was found late.")
    with refused("no regulator's clock"):
        office.tell(name, "own-people", "initial")


def test_it_is_over_when_everybody_was_told_and_nothing_is_frozen(office: Office) -> None:
    false, name = office.report(), office.report()
    with refused("Confirm it first"):
        office.close(false, false_alarm=False)
    office.close(false, false_alarm=True)
    assert office.incident(false)["state"] == "closed"
    office.confirm(name)
    office.db.document(f"incidents/{name}").update({"affected": {"DE": 1}})
    office.contain(name, "freeze-exports")
    with refused("no false alarm"):
        office.close(name, false_alarm=True)
    with pytest.raises(HttpsError) as refusal:
        office.close(name, false_alarm=False)
    for owed in ("exports", "gdpr-authority", "own-people", "own-draft"):
        assert owed in refusal.value.message
    office.contain(name, "freeze-exports", undo=True)
    office.db.document(f"incidents/{name}").update({"affected": {}})
    office.close(name, false_alarm=False)
    with refused("closed"):
        office.describe(name)


def test_what_is_logged_names_nobody(office: Office) -> None:
    name = office.report()
    office.confirm(name)
    office.describe(name)
    texts: Any = [str(entry["record"]) for entry in logged(office.platform)]
    assert not any("stolen" in text or "@" in text for text in texts)
