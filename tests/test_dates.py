"""What is computed from a date is the same at any moment, wherever the machine is."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from firebase_functions.https_fn import HttpsError

from astra import policies
from astra.runtime.callables import parse
from astra.runtime.clock import iso
from astra.runtime.templates import day
from breach import deadlines
from breach.detection.audit_log import hour_of
from governance.policies import PublishPolicy, _refuse_text
from signup.enrolment import StartSignup, _screen_age
from tests.support.announcing import SUMMARY, text_of
from tests.support.moments import at_awkward_moments

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True, params=["UTC", "America/New_York", "Europe/Berlin", "Pacific/Kiritimati"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@at_awkward_moments
def test_a_time_is_written_in_utc(moment: datetime) -> None:
    assert datetime.fromisoformat(iso(moment)) == moment.replace(microsecond=0)
    assert day(iso(moment)).startswith(f"{moment.day} {moment:%B %Y}")


@at_awkward_moments
def test_an_hour_of_counting_ends_with_the_hour(moment: datetime) -> None:
    start = moment.replace(minute=0, second=0, microsecond=0)
    assert hour_of(start - timedelta(microseconds=1)) + 1 == hour_of(start) == hour_of(moment)
    assert hour_of(start + HOUR) == hour_of(moment) + 1


@at_awkward_moments
def test_the_month_of_the_thirteenth_birthday_is_under_age_and_the_next_is_not(moment: datetime) -> None:
    born, month_before = (moment.year - 13, moment.month), divmod((moment.year - 13) * 12 + moment.month - 2, 12)
    form = {"email": "ada@example.com", "name": "Ada", "policyVersion": policies.FIRST, "consents": {"terms": True}}
    of_age = parse(StartSignup, form | {"birthYear": month_before[0], "birthMonth": month_before[1] + 1})
    _screen_age(of_age, moment)
    with pytest.raises(HttpsError):
        _screen_age(parse(StartSignup, form | {"birthYear": born[0], "birthMonth": born[1]}), moment)


@at_awkward_moments
def test_a_policy_of_the_day_says_so_as_its_version_does(moment: datetime) -> None:
    version = f"{moment:%Y-%m-%d}"
    form = {"version": version, "text": text_of(version), "effectiveAt": iso(moment), "material": True}
    _refuse_text(parse(PublishPolicy, form | {"summary": SUMMARY}), policies.PUBLIC)
    assert policies.dated(version) == moment.date()


@at_awkward_moments
def test_a_deadline_is_so_many_hours_after_its_start(moment: datetime) -> None:
    running = deadlines.running({"awareAt": moment, "detectedAt": moment, "affected": None})
    assert running
    assert {each.due - each.started - each.clock.within for each in running} == {timedelta(0)}
