"""What a campaign says, how one is opened, and what those see who look after it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from astra.notices import campaigns, deliveries, messages
from astra.notices.campaigns import Campaign, Channel
from astra.notices.inbox import Kind
from astra.runtime.platform import Platform
from cli import notices
from notices import progress
from tests.functions.notices.crowd import FACTS, STAFF, Crowd
from tests.support.people import own_project

ODD = "<img src=x onerror=alert(1)> {{ 7*7 }} \"'&"
TOLD = {
    Kind.POLICY_CHANGE: ("version", "effectiveAt", "summary", "url"),
    Kind.TRANSFER: ("recipient", "plannedAt", "summary", "policyUrl"),
    Kind.INACTIVITY: ("erasesAt", "lastActiveAt"),
    Kind.ERASURE: ("receipt", "url"),
}


@pytest.fixture
def crowd(platform: Platform[Any]) -> Iterator[Crowd]:
    with own_project(platform):
        yield Crowd(platform)


@pytest.mark.parametrize("kind", TOLD)
def test_text_and_page_say_the_same_and_load_nothing(kind: Kind) -> None:
    facts = {name: f"fact-{name}" for name in TOLD[kind]}
    letter = messages.render(kind, facts)
    for fact in facts.values():
        assert fact in letter.notice.title + letter.notice.body
        assert fact in letter.html
    assert not re.search(r"src=|url\(|@import|<link|<script|<img|<a |https?://", letter.html)
    assert "privacy@astra-engineering.co" in letter.notice.body
    assert "{" not in letter.html + letter.notice.body


@pytest.mark.parametrize("kind", TOLD)
def test_facts_are_text_whatever_is_in_them(kind: Kind) -> None:
    letter = messages.render(kind, dict.fromkeys(TOLD[kind], ODD))
    assert ODD in letter.notice.body
    assert "<img" not in letter.html
    assert "{{ 7*7 }}" in letter.html


@pytest.mark.parametrize("kind", TOLD)
def test_a_fact_adds_no_line_to_a_title(kind: Kind) -> None:
    title = messages.render(kind, dict.fromkeys(TOLD[kind], "x\r\nBcc: eve@example.com")).notice.title
    assert not re.search(r"[\r\n]", title)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in TOLD.items() for name in names])
def test_a_missing_fact_is_named(kind: Kind, name: str) -> None:
    facts = {other: "x" for other in TOLD[kind] if other != name}
    with pytest.raises(ValueError, match=name):
        messages.render(kind, facts)


def test_days_are_written_as_people_write_them() -> None:
    facts = {**FACTS, "effectiveAt": "2027-03-04T05:06:00Z"}
    assert "4 March 2027, 05:06 UTC" in messages.render(Kind.POLICY_CHANGE, facts).notice.title


@pytest.mark.parametrize("name", ["", "A", "a/b", "../a", "a b", "é", "a" * 101, "-a"])
def test_what_is_no_name_is_refused(crowd: Crowd, name: str) -> None:
    crowd.name = name
    with pytest.raises(ValueError, match="name"):
        crowd.announce()


def test_what_can_not_be_said_is_not_announced(crowd: Crowd) -> None:
    batch, now = crowd.db.batch(), crowd.platform.clock()
    for campaign, error in ((Campaign(Kind.POLICY_CHANGE, {}), ValueError), (Campaign(Kind.STAFF, {}), LookupError)):
        with pytest.raises(error):
            campaigns.announce(batch, crowd.db, "x", campaign, now, STAFF)


@pytest.mark.parametrize(("count", "ranges"), [(3, 1), (100_000, 1), (100_001, 2), (10_000_000, 16)])
def test_ranges_meet_and_cover_every_id(crowd: Crowd, count: int, ranges: int) -> None:
    batch, campaign = crowd.db.batch(), campaigns.reference(crowd.db, crowd.name)
    deliveries.open_ranges(batch, campaign, count, "", crowd.platform.clock())
    batch.commit()
    found = [job for _, job in sorted(crowd.jobs().items())]
    assert len(found) == ranges
    assert [job["end"] for job in found] == [job["cursor"] for job in found[1:]] + [None]
    assert found[0]["cursor"] == ""


def test_the_rest_begins_where_the_first_members_end(crowd: Crowd) -> None:
    batch, campaign = crowd.db.batch(), campaigns.reference(crowd.db, crowd.name)
    deliveries.open_ranges(batch, campaign, 10_000_000, "X7", crowd.platform.clock())
    batch.commit()
    found = [job for _, job in sorted(crowd.jobs().items())]
    assert found[0]["cursor"] == "X7"
    assert [job["end"] for job in found] == [job["cursor"] for job in found[1:]] + [None]


def test_who_looks_after_campaigns_sees_how_far_they_are(crowd: Crowd, clock: Any) -> None:
    crowd.come(150)
    crowd.announce(Channel.IN_APP, Channel.EMAIL)
    crowd.task("opening")
    clock.step(minutes=2)
    stored = campaigns.reference(crowd.db, crowd.name).get()
    begun = progress.Progress.of(crowd.platform, stored)
    assert (begun.members["told"], begun.members.total()) == (2, 2)
    assert begun.letters["queued"] == begun.letters["letters"] == 2
    assert (begun.rate, begun.remaining) == (None, None), "it waits for people"
    assert begun.share == pytest.approx(2 / 300)
    stored.reference.update({"state": "running"})
    going = progress.Progress.of(crowd.platform, stored.reference.get())
    assert going.rate == pytest.approx(2 / 120)
    assert going.remaining
    assert going.remaining.total_seconds() == pytest.approx(120 * 298 / 2)
    console = Console(width=150, record=True)
    console.print(notices._status(crowd.platform, iter([stored])))
    console.print(notices._jobs(begun, clock()))
    shown = console.export_text()
    assert crowd.name in shown
    assert "2 of 150" in shown
    assert not any(uid in shown for uid in crowd.uids)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def progress_of(minutes: float, *, told: int, letters: int = 0, queued: int = 0, **more: Any) -> progress.Progress:
    """How far one is whose hundred members have waited for ten days when there were 20 of 100 steps, and go on now."""
    going = deliveries.going(NOW, 10, 20)
    fields = {"state": "running", "count": 100, "startedAt": NOW - timedelta(days=10), "completedAt": None}
    jobs = {"00": {"counts": {"told": told}}}
    at = NOW + timedelta(minutes=minutes)
    return progress.Progress(fields | going | more, jobs, {"letters": letters, "queued": queued}, at)


def test_its_pace_is_measured_from_when_it_was_last_let_go() -> None:
    going = progress_of(2, told=40)
    assert going.rate == pytest.approx(30 / 120)
    assert going.remaining == timedelta(minutes=4)
    assert progress_of(2, told=10).remaining is None, "nothing has happened yet to go by"
    assert progress_of(2, told=40, state="stopped").rate is None
    done = progress_of(9000, told=100, state="complete", completedAt=NOW + timedelta(minutes=3))
    assert done.rate == pytest.approx(90 / 180)


def test_how_far_it_is_never_goes_back() -> None:
    everybody = [(0, 0, 0), (10, 10, 10), (10, 10, 4), (10, 14, 8), (50, 48, 42), (100, 97, 80), (100, 97, 0)]
    listed = [(0, 100, 100), (10, 100, 100), (10, 100, 94), (50, 100, 90), (100, 100, 80), (100, 100, 0)]
    for moments in (everybody, listed):
        shares = [progress_of(1, told=told, letters=rows, queued=left).share for told, rows, left in moments]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_preview_is_two_files(tmp_path: Path) -> None:
    facts = [part for name, fact in FACTS.items() for part in ("--fact", f"{name}={fact}")]
    command = [
        sys.executable,
        "-m",
        "cli",
        "notices",
        "preview",
        "policy-change",
        *facts,
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    text, page = (Path(line) for line in done.stdout.split())
    assert "<cookies>" in text.read_text()
    assert "&lt;cookies&gt;" in page.read_text()
    broken = subprocess.run(command[:6], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert broken.returncode == 1
    assert "policy-change" in broken.stderr
