"""`astra breach status`, on a screen of forty columns."""

import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from breach.deadlines import running
from cli import breach, incident_report
from cli.__main__ import app
from cli.common import hoisted
from tests.functions.breach.conftest import crowd, desk, platform, team  # noqa: F401
from tests.functions.breach.desk import SAID, Desk
from tests.support.desk import sit_down

AT = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


class Screen:
    """What a phone shows."""

    def __init__(self) -> None:
        self._shown = io.StringIO()
        self.console = Console(file=self._shown, width=40, soft_wrap=True)

    def text(self) -> str:
        return self._shown.getvalue()


def command(desk: Desk, *words: str) -> str:
    """Run it on the phone; its errors are raised, which `main` would print."""
    screen = Screen()
    with pytest.MonkeyPatch.context() as patch:
        sit_down(patch, desk.platform)
        patch.setattr(breach, "_console", lambda: screen.console)
        with suppress(SystemExit):
            app(args=hoisted(["breach", *(words or ("status",)), "--yes"]))
    return screen.text()


def test_at_three_in_the_morning(desk: Desk) -> None:
    assert command(desk) == "nothing is open\n"
    name = desk.report()
    assert "then confirm_incident" in command(desk)
    desk.confirm(name)
    desk.clock.step(hours=13)
    shown = command(desk)
    assert "own-draft" in shown
    assert "█" * 10 in shown
    assert "11 h left" in shown
    assert "describe_incident" in shown
    desk.clock.step(hours=12)
    assert "1 h late" in command(desk)
    desk.describe(name)
    desk.gather(name)
    assert "not known how many people affected" in command(desk)
    desk.db.document(f"incidents/{name}").update({"affected": {}})
    assert "close_incident" in command(desk)
    assert "1 open" in command(desk)


def test_it_shows_what_is_sent_and_its_hash(desk: Desk, tmp_path: Path) -> None:
    name = desk.report()
    desk.confirm(name)
    with pytest.raises(ValueError, match="missing"):
        command(desk, "notice", name)
    desk.describe(name)
    draft = command(desk, "draft", name, "gdpr-authority", "initial")
    assert f"Nature: {SAID['nature']}" in draft
    assert "sha256 " in draft
    assert "Reasons for delay: none: it is in time" in draft
    notice = command(desk, "notice", name)
    assert "Notice of Data Breach" in notice
    assert "people it goes to: not known how many" in notice
    desk.db.document(f"incidents/{name}").update({"affected": {"DE": 3, "unknown": 2}})
    assert "people it goes to: 5\n" in command(desk, "notice", name)
    desk.db.document(f"incidents/{name}").update({"affected": None})
    desk.contain(name, "freeze-exports")
    command(desk, "report", name, str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "Contained: freeze exports" in page
    assert "freeze-exports" in command(desk, "show", name)
    with pytest.raises(LookupError):
        command(desk, "show", "f" * 20)


def test_a_late_draft_says_why_and_never_that_it_is_in_time(desk: Desk) -> None:
    name = desk.report()
    desk.confirm(name)
    desk.describe(name)
    desk.clock.step(hours=72, microseconds=1)
    with pytest.raises(ValueError, match="delayReason missing"):
        command(desk, "draft", name, "gdpr-authority", "initial")
    late = command(desk, "draft", name, "gdpr-authority", "initial", "It was found late.")
    assert "Reasons for delay: It was found late." in late


def test_what_is_stuck_is_said_and_goes_on(desk: Desk) -> None:
    name = desk.report()
    with pytest.raises(LookupError, match="nothing is stuck"):
        command(desk, "retry", name)
    desk.confirm(name)
    with pytest.raises(LookupError, match="nothing is stuck"):
        command(desk, "retry", name)
    stuck = {"state": "stuck", "nextRunAt": None, "attempts": 12}
    desk.db.document(f"incidents/{name}/work/cohort").update(stuck)
    assert f"retry {name}" in command(desk)
    assert f"retry {name}" in command(desk, "show", name)
    command(desk, "retry", name)
    assert "retry" not in command(desk)
    desk.gather(name)
    assert desk.incident(name)["cohort"] == "frozen"


def incident(**fields: Any) -> dict[str, Any]:
    started = {"state": "confirmed", "severity": 1, "detector": "honey-touched", "awareAt": AT, "detectedAt": AT}
    return {**started, "firstSignalAt": AT, "measures": {}, "cohort": "gathering", **fields}


MET = {name: {"at": AT} for name in ("own-draft", "gdpr-authority", "uk-ico")}


TAKEN = {"measure": "freeze-exports", "undoneAt": None}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "suspected"}, "then confirm_incident"),
        ({}, "describe_incident"),
        ({"met": {"own-draft": {"at": AT}}}, "tell_regulator gdpr-authority"),
        ({"met": {"own-draft": {"at": AT}}, "affected": {"US-NY": 1}, "cohort": "frozen"}, "describe_incident: what"),
        (
            {"met": {"own-draft": {"at": AT}}, "affected": {"US-NY": 1}, "cohort": "telling"},
            "tell_regulator ny-authorities",
        ),
        ({"affected": {}, "cohort": "frozen"}, "close_incident"),
        ({"affected": None, "cohort": "frozen", "met": MET}, "confirm_incident again"),
        (
            {
                "affected": {},
                "cohort": "frozen",
                "measures": {"freeze-exports": {"measure": "freeze-exports", "undoneAt": None}},
            },
            "undo freeze-exports, then",
        ),
    ],
)
def test_the_next_action_is_one_that_can_be_done(fields: dict[str, Any], words: str) -> None:
    assert words in incident_report.next_action("f" * 20, incident(**fields))


def test_a_bar_is_full_when_it_is_late() -> None:
    [clock] = [one for one in running(incident()) if one.clock.name == "own-draft"]
    assert "█" not in breach.bar(clock, AT).plain
    assert "█" * 20 in breach.bar(clock, AT + timedelta(hours=25)).plain
    assert "1 h late" in breach.bar(clock, AT + timedelta(hours=25)).plain
