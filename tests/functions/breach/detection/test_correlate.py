"""Which case a signal is of once some were closed, and the letters that staff get of cases and of their clocks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from firebase_admin import auth

from astra import tlog
from astra.accounts import honeytokens
from astra.runtime.callables import parse
from astra.runtime.clock import iso
from breach import deadlines
from breach.deadlines import BY_NAME, Who
from breach.detection import correlate
from breach.detection.audit_log import Detector
from breach.detection.watch import watch
from breach.response import deadline_alarms, decisions
from local.stack.stack import Stack
from local.stand_ins import audit_log
from tests.functions.breach.desk import THIEF, Desk
from tests.functions.notices.crowd import Crowd
from tests.functions.notices.post_office import PostOffice
from tests.support.colleagues import logged


class Scene:
    """Somebody who touches a honey account, from nine in the morning on."""

    def __init__(self, desk: Desk, stack: Stack) -> None:
        self.desk, self.stack = desk, stack
        self.bait = honeytokens.new_uid(desk.platform.pseudonyms)
        desk.clock.now = (desk.clock.now + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
        self._sent = len(stack.mail.messages)

    def touch(self, at: datetime | None = None, name: str = "") -> tuple[str, list[bytes]]:
        """Answers the case, and what was delivered."""
        entry = audit_log.read(at or self.desk.clock(), THIEF, f"users/{self.bait}", name=name)
        self.desk.happened(entry)
        message = audit_log.wire(entry)
        return self.again(message), message

    def again(self, message: list[bytes]) -> str:
        [case] = watch(self.desk.platform, message)
        return case

    def named(self, number: int) -> str:
        about = self.desk.platform.pseudonyms.of_principal(THIEF)
        return correlate.name_of(self.desk.platform, Detector.HONEY, about, self.desk.clock(), number)

    def letters(self) -> list[tuple[str, str, str]]:
        """To whom, about what, and by which Message-ID, since this was asked for last."""
        found = self.stack.mail.messages[self._sent :]
        self._sent += len(found)
        return [(one.recipients[0], one.message["Subject"], one.message["Message-ID"]) for one in found]

    def texts(self) -> list[str]:
        found = self.stack.mail.messages[self._sent :]
        self._sent += len(found)
        return [str(one.message.get_content()) for one in found]

    def over(self, name: str) -> None:
        """It was a breach, and is closed; people were told of it long before."""
        fields = {"state": "closed", "awareAt": self.desk.clock(), "closedAt": self.desk.clock(), "alertDue": False}
        self.desk.db.document(f"incidents/{name}").update(fields)


@pytest.fixture
def scene(desk: Desk, stack: Stack) -> Scene:
    return Scene(desk, stack)


def tell_and_close(desk: Desk, crowd: Crowd, name: str) -> None:
    """Everything that is done about a breach, from the first to the last."""
    desk.confirm(name)
    desk.gather(name)
    desk.describe(name)
    desk.send(name, crowd)
    deadline_alarms.sound(desk.platform)
    for one in deadlines.running(desk.incident(name)):
        if one.met is None and one.clock.who is Who.REGULATOR:
            desk.tell(name, one.clock.name)
    desk.close(name, false_alarm=False)


def test_a_second_attack_of_the_day_is_a_case_that_can_be_confirmed_and_told_of(
    scene: Scene, desk: Desk, crowd: Crowd
) -> None:
    [uid] = crowd.come(1, jurisdiction="DE")
    first, delivered = scene.touch()
    desk.happened(audit_log.read(desk.clock(), THIEF, f"users/{uid}"))
    tell_and_close(desk, crowd, first)
    before = desk.incident(first)
    desk.clock.step(minutes=30)
    called = scene.letters()
    second, more = scene.touch()
    desk.happened(audit_log.read(desk.clock(), THIEF, f"users/{uid}"))
    assert (first, second) == (scene.named(0), scene.named(1))
    assert {subject for _, subject, _ in scene.letters()} == {"Severity 1: honey touched"}
    assert called
    for message in (delivered, more, delivered + more):
        for name in watch(desk.platform, message):  # delivered again, by whomever
            assert name in {first, second}
    assert desk.incident(first) == before
    assert [len(desk.incident(name)["signals"]) for name in (first, second)] == [1, 1]
    assert scene.letters() == []
    tell_and_close(desk, crowd, second)
    assert [desk.told(name) for name in (first, second)] == [[uid], [uid]]
    opened = [entry["record"]["incident"] for entry in logged(desk.platform, tlog.Action.INCIDENT_OPENED)]
    assert opened == [first, second]


def test_workers_who_see_it_at_once_open_one_case(scene: Scene, desk: Desk) -> None:
    scene.over(scene.touch()[0])
    desk.clock.step(minutes=1)
    messages = [audit_log.wire(audit_log.read(desk.clock(), THIEF, f"users/{scene.bait}")) for _ in range(4)]
    scene.letters()
    with ThreadPoolExecutor(4) as workers:
        assert {*workers.map(scene.again, messages * 2)} == {scene.named(1)}
    assert len(desk.incident(scene.named(1))["signals"]) == 4
    assert len({message for _, _, message in scene.letters()}) == 2, "a letter to each of the two"


def test_what_came_before_a_breach_was_closed_is_of_it_and_calls_nobody(scene: Scene, desk: Desk) -> None:
    name, _ = scene.touch()
    desk.clock.step(hours=1)
    scene.over(name)
    scene.letters()
    late, _ = scene.touch(desk.clock() - timedelta(minutes=30))
    assert late == name
    assert len(desk.incident(name)["signals"]) == 2
    assert desk.incident(name)["state"] == "closed"
    assert scene.letters() == []


def test_over_midnight_what_is_delivered_again_is_of_the_case_that_has_it(scene: Scene, desk: Desk) -> None:
    name, _ = scene.touch()
    desk.clock.step(days=1)
    same, delivered = scene.touch()
    assert same == name
    desk.clock.step(hours=1)
    scene.over(name)
    assert scene.again(delivered) == name
    new, _ = scene.touch(desk.clock() + timedelta(minutes=1))
    assert new == scene.named(0) != name


def test_a_count_that_goes_on_after_its_breach_was_closed_is_another_case(desk: Desk, scene: Scene) -> None:
    platform, at = desk.platform, desk.clock()
    entries = [audit_log.read(at, THIEF, f"users/u{number}") for number in range(21)]
    [name] = watch(platform, audit_log.wire(*entries))
    desk.clock.step(minutes=10)
    scene.over(name)
    assert watch(platform, audit_log.wire(entries[-1])) == [name]
    [second] = watch(platform, audit_log.wire(audit_log.read(at + timedelta(minutes=11), THIEF, "users/u22")))
    assert second != name
    assert desk.incident(second)["state"] == "suspected"


def test_a_false_alarm_that_is_seen_again_is_reopened_and_calls_again(scene: Scene, desk: Desk) -> None:
    name, _ = scene.touch()
    first = scene.letters()
    desk.close(name, false_alarm=True)
    messages = {message for _, _, message in first}
    for round_ in (1, 2):
        desk.clock.step(minutes=5)
        assert scene.touch()[0] == name
        incident = desk.incident(name)
        assert (incident["state"], incident["closedAt"], incident["falseAlarm"]) == ("suspected", None, False)
        again = scene.letters()
        assert sorted(to for to, _, _ in again) == sorted(to for to, _, _ in first)
        assert messages.isdisjoint(message for _, _, message in again), "mailboxes would drop them"
        messages |= {message for _, _, message in again}
        assert [len(person.notices()) for person in (desk.ada, desk.bob, desk.carol)] == [1 + round_, 1 + round_, 0]
        desk.close(name, false_alarm=True)
    records = [entry["record"] for entry in logged(desk.platform, tlog.Action.INCIDENT_OPENED)]
    assert [record.get("again", False) for record in records] == [False, True, True]
    desk.clock.step(minutes=5)
    scene.touch()
    assert desk.confirm(name)["state"] == "done"


def test_beyond_the_days_last_case_staff_are_called_all_the_same(
    scene: Scene, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correlate, "_MAX_INCIDENTS_A_DAY", 2)
    for number in (0, 1):
        assert scene.touch()[0] == scene.named(number)
        scene.over(scene.named(number))
        desk.clock.step(minutes=1)
    scene.letters()
    name, delivered = scene.touch()
    assert name == scene.named(1)
    assert desk.incident(name)["state"] == "closed"
    assert len(scene.letters()) == 2
    scene.again(delivered)
    assert scene.letters() == []


@pytest.fixture
def confirmed(desk: Desk, scene: Scene) -> Iterator[str]:
    """An incident of which staff have had their letters."""
    name = desk.report()
    desk.confirm(name)
    desk.db.document(f"incidents/{name}").update({"affected": {"DE": 1}})
    correlate.alert(desk.platform, name)
    scene.letters()
    yield name


def tick(desk: Desk) -> None:
    deadline_alarms.sound(desk.platform)
    correlate.alert_again(desk.platform)


def test_the_letter_of_a_clock_says_which_how_far_and_until_when(scene: Scene, desk: Desk, confirmed: str) -> None:
    aware: datetime = desk.incident(confirmed)["awareAt"]
    seen: list[str] = []
    for hours, subject in (
        (12, None),
        (20, "own-draft: 80 % of the time is over"),
        (23, "own-draft: 95 % of the time is over"),
        (25, "own-draft: overdue"),
    ):
        desk.clock.now = aware + timedelta(hours=hours)
        for _ in range(2):
            tick(desk)
        letters = scene.letters()
        assert [about for _, about, _ in letters] == [subject] * (2 if subject else 0)
        seen += [message for _, _, message in letters]
    assert len({*seen}) == len(seen) == 6
    desk.clock.now = aware + timedelta(hours=60)
    tick(desk)
    for text in (texts := scene.texts()):
        for name in ("gdpr-authority", "gdpr-people", "own-people"):
            due = f"{BY_NAME[name].recipient} must be told by {iso(aware + timedelta(hours=72))}"
            assert f"{name}: 80 % of the time is over. {due}" in text
        assert "own-draft" not in text
        assert confirmed in text
    assert len(texts) == 2


def test_after_a_crash_exactly_that_letter_goes_out(
    scene: Scene, desk: Desk, confirmed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError

    desk.clock.step(hours=20)
    with monkeypatch.context() as patched:
        patched.setattr(correlate.smtp, "send", fail)
        tick(desk)
        desk.clock.step(hours=3)
        tick(desk)
    assert scene.letters() == []
    desk.describe(confirmed)  # the clock is met by now
    for _ in range(2):
        tick(desk)
    letters = scene.letters()
    assert sorted({subject for _, subject, _ in letters}) == [
        "own-draft: 80 % of the time is over",
        "own-draft: 95 % of the time is over",
    ]
    assert len(letters) == len({message for _, _, message in letters}) == 4
    assert desk.incident(confirmed)["alertDue"] is False


def test_the_letters_of_a_case_and_of_its_clocks_are_both_sent(scene: Scene, desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.db.document(f"incidents/{name}").update({"affected": {"DE": 1}})
    desk.clock.step(hours=20)
    tick(desk)
    subjects = sorted(subject for _, subject, _ in scene.letters())
    assert subjects == ["Severity 1: reported"] * 2 + ["own-draft: 80 % of the time is over"] * 2


@pytest.mark.parametrize(("mailbox", "is_still_due"), [("nobody", False), ("full", True)])
def test_one_mailbox_that_refuses_keeps_back_nobody_elses_letter(
    desk: Desk, scene: Scene, office: PostOffice, mailbox: str, is_still_due: bool
) -> None:
    first, other = sorted((desk.ada, desk.bob), key=lambda person: person.uid)
    auth.update_user(first.uid, email=f"{mailbox}.{first.uid}@example.com", app=desk.platform.app)
    name, _ = scene.touch()
    assert office.recipients() == [f"{other.uid}@example.com"]
    assert desk.incident(name)["alertDue"] is is_still_due
    auth.update_user(first.uid, email=f"{first.uid}@example.com", app=desk.platform.app)
    correlate.alert_again(desk.platform)
    assert (f"{first.uid}@example.com" in office.recipients()) is is_still_due
    assert desk.incident(name)["alertDue"] is False
    assert len(office.keys()) == 1 + is_still_due


def delay(desk: Desk, name: str, until: datetime | None) -> None:
    form = {"incidentId": name, "basis": "a letter of the State Police", "until": until and until.isoformat()}
    decisions.delay_notice(desk.platform, desk.ada.call(parse(decisions.DelayNotice, form)))


def called(desk: Desk, clock: str) -> list[tuple[int, str]]:
    found = [entry["record"] for entry in logged(desk.platform, tlog.Action.CLOCK_ALARMED)]
    return [(record["percent"], record["due"]) for record in found if record["clock"] == clock]


def test_after_a_lawful_delay_the_marks_that_are_ahead_again_call_again(
    scene: Scene, desk: Desk, confirmed: str
) -> None:
    aware: datetime = desk.incident(confirmed)["awareAt"]
    due, until = aware + timedelta(hours=72), aware + timedelta(hours=100)
    desk.describe(confirmed)
    desk.tell(confirmed, "gdpr-authority", "initial")
    for hours in (36, 58, 69):
        desk.clock.now = aware + timedelta(hours=hours)
        tick(desk)
    before = [(percent, iso(due)) for percent in (50, 80, 95)]
    assert called(desk, "own-people") == before
    delay(desk, confirmed, until)
    tick(desk)
    messages = {message for _, _, message in scene.letters()}
    for hours, marks in (
        (79, []),  # half of the new time is over, too
        (80, [80]),
        (94, [80]),
        (95, [80, 95]),
        (100, [80, 95]),
        (101, [80, 95, 100]),
    ):
        desk.clock.now = aware + timedelta(hours=hours)
        for _ in range(2):
            tick(desk)
        assert called(desk, "own-people") == before + [(mark, iso(until)) for mark in marks], hours
    again = scene.letters()
    assert len(again) == 6
    assert messages.isdisjoint(message for _, _, message in again)
    titles = [notice["title"] for notice in desk.ada.notices() if notice["title"].startswith("own-people")]
    assert titles.count("own-people: 80 % of the time is over") == 2


def test_a_delay_that_is_lifted_calls_for_what_is_overdue(scene: Scene, desk: Desk, confirmed: str) -> None:
    aware: datetime = desk.incident(confirmed)["awareAt"]
    desk.describe(confirmed)
    desk.clock.now = aware + timedelta(hours=73)
    tick(desk)
    delay(desk, confirmed, aware + timedelta(days=30))
    tick(desk)
    scene.letters()
    desk.clock.step(hours=1)
    delay(desk, confirmed, None)
    tick(desk)
    assert [percent for percent, _ in called(desk, "own-people")] == [100, 100]
    assert any("own-people" in text and "overdue" in text for text in scene.texts())
