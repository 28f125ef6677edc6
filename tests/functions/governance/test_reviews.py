"""The July review at its boundaries, of which a leap year and a machine in another zone move none."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra import policies, staff, tlog
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from governance import processor_register
from governance.reviews import SignReview, of_july, sign_review, stage, weeks
from governance.schedule import advance, open_reviews, review
from tests.support.colleagues import Person, Team, logged, replace_security_policy

SECOND = timedelta(seconds=1)


def at(platform: Platform[Any], moment: datetime) -> None:
    platform.clock.now = moment  # type: ignore[attr-defined]


def look(platform: Platform[Any]) -> None:
    """What the schedule does about reviews."""
    open_reviews(platform)
    advance(platform)


def states(platform: Platform[Any]) -> dict[str, str]:
    return {stored.id: stored.get("state") for stored in platform.db.collection("reviews").get()}


def sign(platform: Platform[Any], person: Person, name: str) -> dict[str, Any]:
    version = policies.current(platform.db, platform.clock(), policies.SECURITY).version
    return sign_review(platform, person.call(SignReview(review=name, policyVersion=version)))


def begin(platform: Platform[Any], team: Team, moment: datetime) -> Person:
    """A CTO, and a schedule that runs since `moment`."""
    at(platform, moment)
    boss = team.hire(Role.CTO)
    at(platform, moment)
    look(platform)
    return boss


@pytest.mark.parametrize("year", [2027, 2028, 2100])  # 2028 is a leap year, 2100 is none
def test_the_july_review_from_its_opening_to_overdue(platform: Platform[Any], team: Team, year: int) -> None:
    begin(platform, team, datetime(year, 3, 1, tzinfo=UTC))
    expected = [
        (datetime(year, 6, 30, 23, 59, 59, tzinfo=UTC), None),
        (datetime(year, 7, 1, tzinfo=UTC), "open"),
        (datetime(year, 7, 30, 23, 59, 59, tzinfo=UTC), "open"),
        (datetime(year, 7, 31, tzinfo=UTC), "escalated"),
        (datetime(year, 7, 31, 23, 59, 59, tzinfo=UTC), "escalated"),
        (datetime(year, 8, 1, tzinfo=UTC), "overdue"),
        (datetime(year, 12, 31, tzinfo=UTC), "overdue"),
    ]
    for moment, state in expected:
        at(platform, moment)
        for _ in range(2):  # a schedule fires when it likes
            look(platform)
        assert states(platform).get(str(year)) == state, moment
    actions = [entry["action"] for entry in logged(platform)]
    assert actions == ["governance:review:open", "governance:review:escalate", "governance:review:miss"]


@pytest.mark.parametrize("hours", [-12, 14])
def test_july_begins_in_utc_wherever_the_machine_is(platform: Platform[Any], team: Team, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    begin(platform, team, datetime(2027, 3, 1, tzinfo=zone))
    at(platform, (datetime(2027, 7, 1, tzinfo=UTC) - SECOND).astimezone(zone))
    look(platform)
    assert states(platform) == {}
    at(platform, datetime(2027, 7, 1, tzinfo=UTC).astimezone(zone))
    look(platform)
    assert states(platform) == {"2027": "open"}


def test_the_cto_is_reminded_each_week_and_once(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 6, 1, tzinfo=UTC))
    sam = team.hire(Role.SECURITY)
    for day in range(1, 31):
        at(platform, datetime(2027, 7, day, 6, tzinfo=UTC))
        for _ in range(3):
            look(platform)
    dates = sorted(f"{notice['createdAt']:%m-%d}" for notice in boss.notices())
    assert dates == ["07-01", "07-08", "07-15", "07-22", "07-29"]
    assert sam.notices() == []
    at(platform, datetime(2027, 7, 31, tzinfo=UTC))
    look(platform)
    assert [notice["title"] for notice in sam.notices()] == ["The security policy's review 2027 is escalated"]
    assert len(boss.notices()) == 6


def test_weeks_and_stages_are_a_matter_of_dates_alone() -> None:
    july = of_july(2028)
    opened = datetime(2028, 7, 1, tzinfo=UTC)
    assert [weeks(july, opened + timedelta(days=days)) for days in (0, 6.99, 7, 30)] == [1, 1, 2, 5]
    assert stage(july, opened, vacant=True) == "escalated"
    assert stage({**july, "state": "escalated"}, opened, vacant=False) == "escalated"  # none goes back
    assert stage(july, datetime(2028, 8, 1, tzinfo=UTC), vacant=True) == "overdue"


def test_only_a_cto_signs_and_only_now(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 6, 1, tzinfo=UTC))
    sam = team.hire(Role.SECURITY)
    at(platform, datetime(2027, 7, 9, 12, tzinfo=UTC))
    look(platform)
    with pytest.raises(HttpsError) as refusal:
        sign(platform, sam, "2027")
    assert refusal.value.code is FunctionsErrorCode.PERMISSION_DENIED
    answer = sign(platform, boss, "2027")
    assert (answer["signedAt"], answer["late"]) == ("2027-07-09T12:00:00Z", False)
    fields = platform.db.document("reviews/2027").get().to_dict() or {}
    assert (fields["state"], fields["signedBy"], fields["signedAt"]) == ("signed", boss.subject, platform.clock())
    assert fields["policySha256"] == policies.current(platform.db, platform.clock(), policies.SECURITY).sha256
    with pytest.raises(HttpsError) as again:
        sign(platform, boss, "2027")
    assert again.value.code is FunctionsErrorCode.ALREADY_EXISTS
    at(platform, datetime(2027, 9, 1, tzinfo=UTC))
    look(platform)
    assert states(platform) == {"2027": "signed"}


@pytest.mark.parametrize("name", ["2026", "2027", "2028"])
def test_no_review_is_signed_before_it_is_open_or_for_a_year_that_is_over(
    platform: Platform[Any], team: Team, name: str
) -> None:
    boss = begin(platform, team, datetime(2027, 6, 30, tzinfo=UTC))
    with pytest.raises(HttpsError) as refusal:
        sign(platform, boss, name)
    assert refusal.value.code is FunctionsErrorCode.NOT_FOUND


@pytest.mark.parametrize("field", ["signedAt", "at", "date"])
def test_a_signature_has_no_date_but_its_own(field: str) -> None:
    form = {"review": "2027", "policyVersion": "security-2025-07-15"}
    parse(SignReview, form)
    with pytest.raises(HttpsError):
        parse(SignReview, form | {field: "2027-07-31T00:00:00Z"})


def test_a_late_signature_stays_late(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 6, 1, tzinfo=UTC))
    at(platform, datetime(2027, 8, 1, tzinfo=UTC))
    look(platform)
    assert sign(platform, boss, "2027")["late"] is True
    [entry] = logged(platform, tlog.Action.REVIEW_SIGNED)
    assert entry["record"]["late"] is True


def test_another_version_than_the_one_in_force_is_not_signed(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 7, 1, tzinfo=UTC))
    replace_security_policy(platform)
    boss.accept()
    with pytest.raises(HttpsError) as refusal:
        sign_review(platform, boss.call(SignReview(review="2027", policyVersion=policies.FIRST_SECURITY)))
    assert refusal.value.code is FunctionsErrorCode.FAILED_PRECONDITION
    assert sign(platform, boss, "2027")["state"] == "done"


def test_a_vacant_cto_escalates_at_once_and_a_new_one_can_sign(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 6, 1, tzinfo=UTC))
    sam = team.hire(Role.SECURITY)
    staff.reference(platform.db, boss.uid).update(staff.revoked([], platform.clock()))
    at(platform, datetime(2027, 7, 1, tzinfo=UTC))
    look(platform)
    fields = platform.db.document("reviews/2027").get().to_dict() or {}
    assert (fields["state"], fields["vacantAt"]) == ("escalated", platform.clock())
    assert [entry["record"]["vacant"] for entry in logged(platform, tlog.Action.REVIEW_ESCALATED)] == [True]
    assert len(sam.notices()) == 1
    heir = team.hire(Role.CTO)
    at(platform, datetime(2027, 7, 2, tzinfo=UTC))
    look(platform)
    assert states(platform) == {"2027": "escalated"}
    assert sign(platform, heir, "2027")["late"] is False


@pytest.mark.parametrize("day", [datetime(2027, 7, 31, tzinfo=UTC), datetime(2027, 8, 1, tzinfo=UTC)])
def test_a_cto_who_leaves_later_is_told_of_as_well_and_each_time(
    platform: Platform[Any], team: Team, day: datetime
) -> None:
    boss = begin(platform, team, datetime(2027, 6, 1, tzinfo=UTC))
    sam = team.hire(Role.SECURITY)
    at(platform, day)
    look(platform)
    before = len(logged(platform, tlog.Action.REVIEW_ESCALATED))
    for times in (1, 2):
        document = staff.reference(platform.db, boss.uid)
        document.update(staff.revoked([], platform.clock()))
        at(platform, platform.clock() + timedelta(hours=1))
        for _ in range(2):
            look(platform)
        escalated = logged(platform, tlog.Action.REVIEW_ESCALATED)[before:]
        assert [entry["record"] for entry in escalated] == [{"review": "2027", "vacant": True}] * times
        document.update(staff.granted(Role.CTO, [], platform.clock()))
        look(platform)
        assert {notice["createdAt"] for notice in sam.notices()} == {platform.clock()}


def test_without_a_review_a_vacant_cto_is_a_finding(platform: Platform[Any], team: Team) -> None:
    boss, sam = begin(platform, team, datetime(2027, 3, 1, tzinfo=UTC)), team.hire(Role.SECURITY)

    def is_open() -> bool:
        processor_register.look(platform)
        found = platform.db.document("findings/vacant.CTO").get().to_dict()
        return found is not None and found["closedAt"] is None

    assert not is_open()
    staff.reference(platform.db, boss.uid).update(staff.revoked([], platform.clock()))
    assert is_open()
    assert is_open()
    assert [notice["title"] for notice in sam.notices()] == ["CTO: vacant"]
    at(platform, datetime(2027, 7, 1, tzinfo=UTC))
    look(platform)
    assert not is_open()  # the review says so


def test_a_material_change_opens_one_at_once(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 3, 1, tzinfo=UTC))
    look(platform)
    assert states(platform) == {}  # nothing has changed
    replace_security_policy(platform)
    boss.accept()
    for _ in range(2):
        look(platform)
    [(name, state)] = states(platform).items()
    assert (name[:10], state) == ("2027-03-01", "open")
    at(platform, datetime(2027, 3, 31, tzinfo=UTC))
    look(platform)
    assert states(platform)[name] == "escalated"
    at(platform, datetime(2027, 4, 1, tzinfo=UTC))
    look(platform)
    assert states(platform)[name] == "overdue"
    sign(platform, boss, name)
    # It does not stand for July's.
    at(platform, datetime(2027, 7, 1, tzinfo=UTC))
    look(platform)
    assert states(platform) == {name: "signed", "2027": "open"}


def test_what_changes_while_a_review_is_open_is_part_of_it(platform: Platform[Any], team: Team) -> None:
    boss = begin(platform, team, datetime(2027, 7, 1, tzinfo=UTC))
    replace_security_policy(platform)
    boss.accept()
    for _ in range(2):
        look(platform)
    assert states(platform) == {"2027": "open"}
    [entry] = logged(platform, tlog.Action.REVIEW_WIDENED)
    assert entry["record"]["review"] == "2027"
    sign(platform, boss, "2027")
    look(platform)
    assert states(platform) == {"2027": "signed"}


def test_a_schedule_that_was_down_in_july_misses_no_review(platform: Platform[Any], team: Team) -> None:
    begin(platform, team, datetime(2027, 2, 1, tzinfo=UTC))
    at(platform, datetime(2028, 9, 1, tzinfo=UTC))
    look(platform)
    assert states(platform) == {"2027": "overdue", "2028": "overdue"}


@pytest.mark.parametrize(("began", "opens"), [((2027, 7, 31), True), ((2027, 8, 1), False)])
def test_a_july_that_was_over_when_all_began_is_not_called_missed(
    platform: Platform[Any], team: Team, began: tuple[int, int, int], opens: bool
) -> None:
    begin(platform, team, datetime(*began, tzinfo=UTC))
    assert ("2027" in states(platform)) is opens


def test_one_part_that_fails_costs_no_other_its_date(
    platform: Platform[Any], team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(platform, team, datetime(2027, 6, 1, tzinfo=UTC))
    monkeypatch.setattr("governance.processor_register.processors.named_by", lambda _: 1 / 0)
    at(platform, datetime(2027, 7, 1, tzinfo=UTC))
    review(platform)
    assert states(platform) == {"2027": "open"}
