"""The clocks, at their very boundaries."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from breach import deadlines
from breach.deadlines import BY_NAME, CLOCKS, Running, Start, Who, running

AWARE = datetime(2028, 2, 28, 23, 30, tzinfo=UTC)  # a Monday, before a leap day


def incident(**fields: Any) -> dict[str, Any]:
    return {"awareAt": AWARE, "detectedAt": AWARE, "affected": {"DE": 3}, **fields}


def one(name: str, **fields: Any) -> Running:
    return next(found for found in running(incident(**fields)) if found.clock.name == name)


def test_every_row_says_where_it_is_from_and_was_looked_at_within_a_year() -> None:
    assert len({clock.name for clock in CLOCKS}) == len(CLOCKS)
    for clock in CLOCKS:
        assert clock.source, clock.name
        assert date.today() - clock.reviewed_on < timedelta(days=366), f"{clock.name}: look at the law again"  # noqa: DTZ011


def test_the_numbers_are_those_of_the_law() -> None:
    days = {clock.name.split("-")[0].upper(): clock.within.days for clock in CLOCKS if clock.regime.startswith("US-")}
    assert {state for state, within in days.items() if within == 30} == {"NY", "CO", "FL", "WA"}
    people = {clock.regime: clock.within.days for clock in CLOCKS if clock.who is Who.PEOPLE and "US-" in clock.regime}
    assert sorted(people[f"US-{state}"] for state in ("NY", "CA", "CO", "FL", "WA")) == [30] * 5
    forty_five = ["AL", "AZ", "IN", "NM", "OH", "OR", "RI", "TN", "VT", "WI"]
    assert {state.removeprefix("US-") for state, within in people.items() if within == 45} == set(forty_five)
    assert {state.removeprefix("US-") for state, within in people.items() if within == 60} == {
        "CT",
        "DE",
        "LA",
        "SD",
        "TX",
    }
    for name in ("gdpr-authority", "uk-ico", "own-people"):
        assert BY_NAME[name].within == timedelta(hours=72)
    assert BY_NAME["own-draft"].within == timedelta(hours=24)
    assert BY_NAME["ca-attorney-general"].start is Start.TOLD


def test_hours_run_through_leap_days_weekends_and_changes_of_zone() -> None:
    due = one("gdpr-authority").due
    assert due == datetime(2028, 3, 2, 23, 30, tzinfo=UTC)
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    assert one("gdpr-authority", awareAt=AWARE.astimezone(kathmandu)).due == due
    friday = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    assert one("gdpr-authority", awareAt=friday).due == datetime(2026, 11, 30, 18, 0, tzinfo=UTC)
    ny = one("ny-people", affected={"US-NY": 1}).due
    assert ny == datetime(2028, 3, 29, 23, 30, tzinfo=UTC)


def test_at_the_very_moment_it_is_in_time_and_after_it_is_not() -> None:
    clock = one("gdpr-authority")
    assert clock.share(clock.due) == 100
    assert not clock.is_overdue(clock.due)
    assert clock.is_overdue(clock.due + timedelta(microseconds=1))
    assert clock.share(AWARE) == 0
    assert clock.share(AWARE + timedelta(hours=36)) == 50
    assert clock.share(AWARE + timedelta(hours=36) - timedelta(seconds=1)) == 49


def test_done_in_time_is_done_and_done_late_stays_late() -> None:
    in_time = one("gdpr-authority", met={"gdpr-authority": {"at": AWARE + timedelta(hours=72)}})
    late = one("gdpr-authority", met={"gdpr-authority": {"at": AWARE + timedelta(hours=73)}})
    years = AWARE + timedelta(days=999)
    assert not in_time.is_overdue(years)
    assert late.is_overdue(years)


@pytest.mark.parametrize(
    ("affected", "names"),
    [
        ({"DE": 1}, {"gdpr-authority", "gdpr-people"}),
        ({"GB": 1}, {"uk-ico", "uk-people"}),
        ({"US-NY": 5000}, {"ny-people", "ny-authorities"}),
        ({"US-NY": 5001}, {"ny-people", "ny-authorities", "ny-bureaus"}),
        ({"US-CA": 501}, {"ca-people"}),
        ({"US-ME": 9}, set()),
        ({"unknown": 1}, {clock.name for clock in CLOCKS if clock.at_least == 1}),
        ({"US-NY": 1, "unknown": 5000}, set(BY_NAME) - {"ca-attorney-general"}),
    ],
)
def test_a_clock_runs_only_for_its_people_and_ours_for_all(affected: dict[str, int], names: set[str]) -> None:
    assert {found.clock.name for found in running(incident(affected=affected))} == names | {"own-draft", "own-people"}


def test_nobody_affected_nobody_to_tell_and_while_it_is_not_known_all_run() -> None:
    assert running(incident(affected={})) == []
    assert running({"detectedAt": AWARE}) == []
    unknown = {found.clock.name for found in running(incident(affected=None))}
    assert unknown == set(BY_NAME) - {"ca-attorney-general"}, "which runs from when people were told"


def test_in_new_york_it_runs_from_discovery_once_it_is_confirmed() -> None:
    seen = AWARE - timedelta(days=2)
    for name in ("ny-people", "ny-authorities", "ny-bureaus"):
        assert one(name, affected={"US-NY": 5001}, detectedAt=seen).due == seen + timedelta(days=30)
        # A letter that was read before the case was opened.
        assert one(name, affected={"US-NY": 5001}, detectedAt=AWARE + timedelta(days=3)).due == AWARE + timedelta(
            days=30
        )
    assert one("gdpr-authority", detectedAt=seen).started == AWARE
    assert running({"detectedAt": seen, "affected": {"US-NY": 1}}) == []


@pytest.mark.parametrize("state", ["CA", "FL", "WA", "IN", "NM", "OH", "OR", "TN", "VT", "WI", "CT", "LA", "SD"])
def test_where_the_law_says_discovery_it_runs_from_there(state: str) -> None:
    seen, name = AWARE - timedelta(days=2), f"{state.lower()}-people"
    found = one(name, affected={f"US-{state}": 1}, detectedAt=seen)
    assert (found.started, found.due) == (seen, seen + BY_NAME[name].within)
    assert one(name, affected={f"US-{state}": 1}, detectedAt=AWARE + timedelta(days=3)).started == AWARE


def test_where_it_says_determination_it_runs_from_awareness() -> None:
    states = {
        clock.regime.removeprefix("US-") for clock in CLOCKS if clock.start is Start.AWARE and "US-" in clock.regime
    }
    assert states == {"CO", "AL", "AZ", "RI", "DE", "TX"}


def test_californias_sample_is_due_after_people_were_told() -> None:
    told = AWARE + timedelta(days=9)
    clock = one("ca-attorney-general", affected={"US-CA": 501}, peopleToldAt=told)
    assert clock.due == told + timedelta(days=15)
    few = running(incident(affected={"US-CA": 500}, peopleToldAt=told))
    assert "ca-attorney-general" not in {found.clock.name for found in few}


def test_without_a_high_risk_people_need_not_be_told_in_europe() -> None:
    assert "gdpr-people" not in {found.clock.name for found in running(incident(highRisk=False))}


def test_a_lawful_delay_moves_peoples_clocks_alone() -> None:
    until = AWARE + timedelta(days=20)
    delayed = one("own-people", delay={"until": until})
    assert (delayed.due, delayed.delayed) == (until, True)
    assert one("gdpr-authority", delay={"until": until}).due == AWARE + timedelta(hours=72)
    shorter = one("ny-people", affected={"US-NY": 1}, delay={"until": until})
    assert (shorter.due, shorter.delayed) == (AWARE + timedelta(days=30), False)


def test_the_next_one_due_comes_first_and_what_is_done_last() -> None:
    found = running(incident(affected={"DE": 1, "US-NY": 1}, met={"own-draft": {"at": AWARE}}))
    assert found[-1].clock.name == "own-draft"
    due = [clock.due for clock in found[:-1]]
    assert due == sorted(due)
    assert deadlines.ALARMS == (50, 80, 95, 100)
