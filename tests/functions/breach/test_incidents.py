"""What people decide: who may, what starts the clocks, what is said, what is over."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import tlog
from astra.runtime.callables import parse
from breach import texts as breach_texts
from breach.deadlines import BY_NAME
from breach.response import deadline_alarms, decisions
from cli import incident_report
from tests.colleagues import logged
from tests.functions.breach.desk import SAID, Desk, refused


def test_a_report_opens_a_case_and_calls_security(desk: Desk) -> None:
    name = desk.report()
    incident = desk.incident(name)
    assert (incident["state"], incident["severity"], incident["detector"]) == ("suspected", 1, "reported")
    assert [len(person.notices()) for person in (desk.ada, desk.bob, desk.carol)] == [1, 1, 0]
    [entry] = logged(desk.platform, tlog.Action.INCIDENT_OPENED)
    assert entry["actor"] == desk.ada.subject
    assert "laptop" not in str(entry["record"])


@pytest.mark.parametrize(
    "change",
    [
        {"awareAt": -7 * 3600},
        {"awareAt": 60},
        {"occurredFrom": 60},
        {"occurredUntil": 60},
        {"occurredFrom": -500 * 86400},
        {"occurredUntil": -8 * 3600},
    ],
)
def test_times_that_cant_be_are_refused(desk: Desk, change: dict[str, int]) -> None:
    name = desk.report()
    wrong = {field: (desk.clock() + timedelta(seconds=by)).isoformat() for field, by in change.items()}
    with pytest.raises(HttpsError) as refused:
        desk.confirm(name, **wrong)
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    assert desk.incident(name)["state"] == "suspected"


def test_one_person_of_security_confirms_and_nobody_else(desk: Desk) -> None:
    name = desk.report()
    with refused("role"):
        desk.confirm(name, who=desk.carol)
    assert desk.confirm(name)["state"] == "done"
    incident = desk.incident(name)
    assert (incident["state"], incident["awareAt"]) == ("confirmed", desk.clock())
    with refused("confirmed already"):
        desk.confirm(name)
    with refused("no such incident"):
        desk.confirm("f" * 20)


def test_we_may_have_been_aware_before_the_case_was_opened(desk: Desk) -> None:
    friday = desk.clock() - timedelta(days=3)
    name = desk.report()
    desk.confirm(name, awareAt=friday.isoformat(), occurredFrom=(friday - timedelta(hours=1)).isoformat())
    assert desk.incident(name)["awareAt"] == friday


def test_an_authority_is_told_though_it_is_not_known_where_people_are(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.describe(name)
    desk.db.document(f"incidents/{name}").update({"affected": {"unknown": 3}})
    desk.tell(name, "gdpr-authority", "initial")
    [stored] = desk.db.collection("incidents", name, "filings").get()
    assert "People affected: 3 (unknown: 3)" in stored.get("text")


def test_nothing_runs_before_somebody_confirms(desk: Desk) -> None:
    desk.report()
    desk.clock.step(days=400)
    deadline_alarms.sound(desk.platform)
    assert logged(desk.platform, tlog.Action.CLOCK_ALARMED) == []


def called(desk: Desk) -> list[tuple[str, int]]:
    found = [entry["record"] for entry in logged(desk.platform, tlog.Action.CLOCK_ALARMED)]
    return sorted((record["clock"], record["percent"]) for record in found)


def test_each_alarm_calls_once_however_often_it_is_looked_for(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.db.document(f"incidents/{name}").update({"affected": {"DE": 1}, "alertDue": False})
    for hours, expected in (
        (11, []),
        (12, [("own-draft", 50)]),
        (20, [("own-draft", 50), ("own-draft", 80)]),
        (24, [("own-draft", 50), ("own-draft", 80), ("own-draft", 95)]),
    ):
        desk.clock.now = desk.incident(name)["awareAt"] + timedelta(hours=hours)
        for _ in range(2):
            deadline_alarms.sound(desk.platform)
        assert called(desk) == expected, hours
    assert desk.incident(name)["alertDue"] is True
    desk.clock.now = desk.incident(name)["awareAt"] + timedelta(hours=73)
    deadline_alarms.sound(desk.platform)
    assert {(clock, percent) for clock, percent in called(desk) if percent == 100} == {
        ("own-draft", 100),
        ("own-people", 100),
        ("gdpr-authority", 100),
        ("gdpr-people", 100),
    }
    titles = {notice["title"] for notice in desk.ada.notices()}
    assert "gdpr-authority: overdue" in titles


def test_a_letter_that_may_wait_moves_its_alarms(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    until = desk.clock() + timedelta(days=30)
    form = {
        "incidentId": name,
        "basis": "N.Y. Gen. Bus. Law 899-aa(4), letter of the State Police",
        "until": until.isoformat(),
    }
    decisions.delay_notice(desk.platform, desk.ada.call(parse(decisions.DelayNotice, form)))
    assert desk.incident(name)["delay"]["until"] == until
    desk.clock.step(hours=73)
    deadline_alarms.sound(desk.platform)
    overdue = {clock for clock, percent in called(desk) if percent == 100}
    assert "gdpr-authority" in overdue
    assert "own-people" not in overdue
    with refused("The law has us wait until"):
        desk.gather(name)
        desk.db.document(f"incidents/{name}").update({"cohort": "frozen", "affected": {"DE": 1}})
        desk.approve(name, desk.ada, sha256="0" * 64)
    lifted = parse(decisions.DelayNotice, {**form, "until": None})
    decisions.delay_notice(desk.platform, desk.ada.call(lifted))
    assert desk.incident(name)["delay"] is None
    too_long = {**form, "until": (desk.clock() + timedelta(days=91)).isoformat()}
    with refused("90 days"):
        decisions.delay_notice(desk.platform, desk.ada.call(parse(decisions.DelayNotice, too_long)))


@pytest.mark.parametrize("text", ["See https://evil.example", "go to WWW.evil.example", "a\x00b", "", "x" * 3001])
def test_what_is_said_has_no_links(desk: Desk, text: str) -> None:
    with pytest.raises(HttpsError) as refused:
        parse(decisions.DescribeIncident, {"incidentId": "f" * 20, "youCanDo": text})
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT


def test_the_draft_is_there_once_what_it_needs_is_said(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.describe(name, nature=SAID["nature"], contact=SAID["contact"])
    assert "met" not in desk.incident(name)
    desk.describe(name, measures=SAID["measures"])
    assert desk.incident(name)["met"]["own-draft"]["at"] == desk.clock()


def test_the_draft_is_there_too_if_it_was_said_before_anybody_confirmed(desk: Desk) -> None:
    name = desk.report()
    desk.describe(name)
    assert "met" not in desk.incident(name)
    desk.clock.step(minutes=5)
    desk.confirm(name)
    assert desk.incident(name)["met"]["own-draft"]["at"] == desk.clock()
    assert "describe_incident: say nature" not in incident_report.next_action(name, desk.incident(name))


@pytest.mark.parametrize(("days", "may_be_gone"), [(30, False), (31, True)])
def test_that_reads_of_long_ago_may_be_missing_is_said(desk: Desk, days: int, may_be_gone: bool) -> None:
    name = desk.report()
    desk.confirm(name, occurredFrom=(desk.clock() - timedelta(days=days)).isoformat())
    desk.describe(name)
    incident = desk.incident(name) | {
        "numbers": {"records": 1, "unnamed": 2},
        "exposed": ["profile"],
        "affected": {"DE": 1},
    }
    text = breach_texts.filing(name, incident, BY_NAME["gdpr-authority"], "final").text
    assert "2 reads of the audit log name nobody" in text
    assert ("may be in no audit log any more" in text) is may_be_gone


def test_a_regulator_is_told_in_phases_and_what_is_missing_is_named(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.describe(name, nature=SAID["nature"], contact=SAID["contact"])
    with pytest.raises(Exception, match="measures missing"):
        desk.tell(name, "gdpr-authority", "initial")
    desk.describe(name, measures=SAID["measures"])
    desk.tell(name, "gdpr-authority", "initial")
    met = desk.incident(name)["met"]["gdpr-authority"]["at"]
    with pytest.raises(Exception, match="consequences, exposed, affected missing"):
        desk.tell(name, "gdpr-authority", "final")
    desk.describe(name, consequences=SAID["consequences"])
    desk.db.document(f"incidents/{name}").update(
        {"exposed": ["profile"], "affected": {"DE": 2}, "numbers": {"records": 4}}
    )
    desk.clock.step(days=9)
    desk.tell(name, "gdpr-authority", "final")
    incident = desk.incident(name)
    assert incident["met"]["gdpr-authority"]["at"] == met, "an update does not make the first one late"
    phases = {number: row["phase"] for number, row in incident["filings"]["gdpr-authority"].items()}
    assert phases == {"n1": "initial", "n2": "final"}
    texts = [one.to_dict() or {} for one in desk.db.collection("incidents", name, "filings").get()]
    assert any("People affected: not known yet" in one["text"] for one in texts)
    assert any("People affected: 2 (DE: 2)" in one["text"] for one in texts)


def test_late_needs_reasons_and_the_very_text_is_what_counts(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.describe(name)
    desk.clock.step(hours=73)
    with refused("delayReason"):
        desk.tell(name, "gdpr-authority", "initial")
    with refused("something else"):
        desk.tell(name, "gdpr-authority", "initial", reason="It was found late.", sha256="0" * 64)
    desk.tell(name, "gdpr-authority", "initial", reason="It was found late.")
    with refused("no regulator's clock"):
        desk.tell(name, "own-people", "initial")


REASONS = "Reasons for delay: "


def reasons(desk: Desk, name: str) -> list[str]:
    """What each filing says of its delay, in their order."""
    rows = sorted(desk.db.collection("incidents", name, "filings").get(), key=lambda row: row.id)
    texts = [str(row.get("text")) for row in rows]
    return [line.removeprefix(REASONS) for text in texts for line in text.splitlines() if line.startswith(REASONS)]


@pytest.fixture
def in_new_york(desk: Desk) -> str:
    """A confirmed incident, of which all is said. The authorities there are to be told within thirty days."""
    name = desk.report()
    desk.confirm(name)
    desk.describe(name)
    found = {"affected": {"US-NY": 1}, "exposed": ["profile"], "numbers": {"records": 4}}
    desk.db.document(f"incidents/{name}").update(found)
    return name


def test_at_its_very_end_it_is_in_time_and_stays_so_in_later_phases(desk: Desk, in_new_york: str) -> None:
    desk.clock.step(days=30)
    desk.tell(in_new_york, "ny-authorities", "initial")
    desk.clock.step(days=9)
    desk.tell(in_new_york, "ny-authorities", "final")
    assert reasons(desk, in_new_york) == ["none: it is in time"] * 2


def test_what_was_sent_in_time_may_be_recorded_later(desk: Desk, in_new_york: str) -> None:
    desk.clock.step(days=30)
    sent = desk.clock().isoformat()
    desk.clock.step(days=1)
    desk.tell(in_new_york, "ny-authorities", "initial", sentAt=sent)
    assert reasons(desk, in_new_york) == ["none: it is in time"]


def test_late_needs_reasons_of_whoever_files_and_later_phases_repeat_them(desk: Desk, in_new_york: str) -> None:
    desk.clock.step(days=30, microseconds=1)
    with refused("delayReason missing"):
        desk.tell(in_new_york, "ny-authorities", "initial")
    desk.tell(in_new_york, "ny-authorities", "initial", reason="It was found late.")
    desk.clock.step(days=9)
    desk.tell(in_new_york, "ny-authorities", "update")
    desk.tell(in_new_york, "ny-authorities", "final", reason="The log was long.")
    assert reasons(desk, in_new_york) == [*["It was found late."] * 2, "It was found late.; The log was long."]


def test_what_was_in_time_is_late_if_we_knew_earlier(desk: Desk, in_new_york: str) -> None:
    desk.clock.step(days=30)
    desk.tell(in_new_york, "ny-authorities", "initial")
    earlier = desk.incident(in_new_york)["awareAt"] - timedelta(seconds=1)
    desk.db.document(f"incidents/{in_new_york}").update({"awareAt": earlier})
    with refused("delayReason missing"):
        desk.tell(in_new_york, "ny-authorities", "final")
    desk.tell(in_new_york, "ny-authorities", "final", reason="We had known earlier.")
    assert reasons(desk, in_new_york) == ["none: it is in time", "We had known earlier."]


def test_without_a_moment_nobody_says_that_it_is_in_time(desk: Desk, in_new_york: str) -> None:
    text = breach_texts.filing(in_new_york, desk.incident(in_new_york), BY_NAME["ny-authorities"], "final").text
    assert f"{REASONS}not known yet" in text


def test_the_draft_clock_is_met_though_regulators_are_late(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.clock.step(hours=80)
    desk.describe(name)
    assert desk.incident(name)["met"]["own-draft"]["at"] == desk.clock()


def test_it_is_over_when_everybody_was_told_and_nothing_is_frozen(desk: Desk) -> None:
    false, name = desk.report(), desk.report()
    with refused("Confirm it first"):
        desk.close(false, false_alarm=False)
    desk.close(false, false_alarm=True)
    assert desk.incident(false)["state"] == "closed"
    desk.confirm(name)
    desk.db.document(f"incidents/{name}").update({"affected": {"DE": 1}})
    desk.contain(name, "freeze-exports")
    with refused("no false alarm"):
        desk.close(name, false_alarm=True)
    with pytest.raises(HttpsError) as refusal:
        desk.close(name, false_alarm=False)
    for owed in ("exports", "gdpr-authority", "own-people", "own-draft"):
        assert owed in refusal.value.message
    desk.contain(name, "freeze-exports", undo=True)
    desk.db.document(f"incidents/{name}").update({"affected": {}})
    with refused("who is affected"):
        desk.close(name, false_alarm=False)
    desk.gather(name)
    desk.db.document(f"incidents/{name}").update({"affected": {}})
    desk.close(name, false_alarm=False)
    with refused("closed"):
        desk.describe(name)


def test_what_is_logged_names_nobody(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.describe(name)
    texts: Any = [str(entry["record"]) for entry in logged(desk.platform)]
    assert not any("stolen" in text or "@" in text for text in texts)
