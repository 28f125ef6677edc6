"""What staff see of the sweep, and what it goes by."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from firebase_admin import auth
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from astra.accounts import activity, honeytokens
from astra.datamap import expiry
from astra.datamap.model import Entry, Store
from astra.datamap.table import DATA_MAP
from astra.runtime.platform import Platform
from astra.runtime.settings import InactivitySettings, SettingsError, load
from cli import output, retention
from cli.__main__ import main
from local.demo.scan import documents
from local.paths import ROOT
from tests.functions.retention.stored import Stored
from tests.support.desk import sit_down
from tests.support.people import own_project

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.fixture
def stored(platform: Platform[Any]) -> Iterator[Stored]:
    with own_project(platform):
        yield Stored(platform)


@given(until=MOMENTS, now=MOMENTS)
def test_at_its_end_and_from_then_on_a_row_has_expired(until: datetime, now: datetime) -> None:
    assert expiry.has_expired({"expireAt": until}, now) == (until <= now)
    assert expiry.has_expired({"expireAt": until, "expiredAt": until}, now), "what is kept for a hold stays hidden"
    assert not expiry.has_expired({}, now)


@given(st.lists(MOMENTS, min_size=1))
def test_a_life_counts_from_the_earliest_that_is_in_a_row(times: list[datetime]) -> None:
    [events] = [entry for entry in DATA_MAP if entry.name == "events"]
    fields: dict[str, Any] = {"events": [{"at": at} for at in times[1:]], "at": times[0], "createdAt": NOW}
    assert expiry.began(events, fields) == min(times)
    assert expiry.began(events, {"at": "torn"}) is None


def test_whose_a_row_is_its_path_says() -> None:
    owners = {entry.name: entry.owner(entry.where.replace("{uid}", "ada")) for entry in expiry.entries()}
    assert owners["events"] == owners["staff-proposals"] == owners["image-records"] == "ada"
    assert owners["enrolments"] is owners["sign-in-codes"] is None


def test_whoever_expires_without_passing_is_somebodys_whose_holds_can_be_read() -> None:
    for entry in expiry.entries():
        assert entry.passing or "{uid}" in entry.where, entry.name


def test_what_the_sweep_asks_for_is_indexed_and_what_can_be_held_has_no_time_to_live() -> None:
    """The database's own deletion knows no legal hold: it is for what can't be held, and after the sweep's turn."""
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text(encoding="utf-8"))["fieldOverrides"]
    found = {each["collectionGroup"]: each for each in overrides if each["fieldPath"] == "expireAt"}
    for entry in expiry.entries():
        *above, name, _ = entry.where.split("/")
        index = found.pop(name)
        scope = "COLLECTION_GROUP" if above else "COLLECTION"
        assert {"order": "ASCENDING", "queryScope": scope} in index["indexes"], entry.name
        if "list" in entry.owner_may:  # an override leaves out what it does not name: owners ask for what lasts
            assert {"order": "ASCENDING", "queryScope": "COLLECTION"} in index["indexes"], entry.name
        assert index.get("ttl", False) == (entry.passing and entry.lives is not None), entry.name
    assert found == {}


def test_each_entry_that_expires_says_what_removes_it() -> None:
    for entry in DATA_MAP:
        swept: Entry | bool = entry.expires or (entry.store is Store.STORAGE and entry.lives is not None)
        assert bool(swept) == ("sweep" in entry.retention), entry.name


def test_being_here_is_noted_once_a_day_and_at_once_by_who_was_warned() -> None:
    settings = InactivitySettings(pseudonym_key=bytes(32))  # type: ignore[arg-type]
    noted = {activity.FIELD: activity.seen(settings, NOW)}
    assert activity.is_news({}, NOW)
    assert not activity.is_news(noted, NOW + timedelta(hours=23))
    assert activity.is_news(noted, NOW + timedelta(hours=24))
    assert activity.is_news({activity.FIELD: {**noted[activity.FIELD], "warnings": 1}}, NOW)
    assert noted[activity.FIELD]["dueAt"] == NOW + timedelta(days=700)


def test_nobody_can_be_given_less_time_than_both_warnings_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", "AAAA" * 10 + "AAA" + "=")
    monkeypatch.setenv("ASTRA_INACTIVE_DAYS", "31")
    with pytest.raises(SettingsError, match="ASTRA_INACTIVE_DAYS"):
        load(InactivitySettings)


def said(platform: Platform[Any], *words: str) -> str:
    """What the command prints, in the place of the project's own platform."""
    with pytest.MonkeyPatch.context() as patch:
        sit_down(patch, platform)
        printed: list[Any] = []
        patch.setattr(output, "show", printed.append)
        assert main(["retention", *words, "--yes"]) == 0
    console = Console(width=300, file=io.StringIO(), record=True)
    console.print(*printed)
    return console.export_text()


def everything(stored: Stored) -> dict[str, Any]:
    """All documents and objects of the project."""
    return dict(documents(stored.db)) | {blob.name: blob.generation for blob in stored.platform.bucket.list_blobs()}


def test_a_dry_run_changes_nothing_and_its_numbers_are_what_then_goes(stored: Stored) -> None:
    now = stored.clock()
    for number in range(5):
        stored.add("events", f"person-{number}", until=now)
        stored.add("requests", f"person-{number}", until=now + timedelta(seconds=number))
    stored.add("enrolments", "e" * 64, until=now)
    stored.image("ada", "ring-0001", now)
    stored.image("bob", "ring-0001", now)
    stored.hold("person-3", "events")
    stored.hold("bob", "sealed-images")
    stored.platform.bucket.blob("incoming/ada/upload-0001").upload_from_string(b"plain")
    noted = {**activity.seen(stored.platform.settings, now), "dueAt": now}
    stored.db.document("users", "frozen").set({"state": "frozen", activity.FIELD: noted})
    bait = {**noted, "warnings": 2, "dueAt": now - timedelta(days=9)}
    uid = honeytokens.new_uid(stored.platform.pseudonyms)
    stored.db.document("users", uid).set({"state": "active", activity.FIELD: bait})
    auth.create_user(uid=uid, app=stored.platform.app)
    stored.clock.step(days=3)
    before = everything(stored)
    lines = {line.entry: line for line in retention.would_go(stored.platform)}
    assert everything(stored) == before
    numbers = {name: (line.due, line.going, line.held) for name, line in lines.items() if line.due}
    assert numbers == {
        "events": (5, 4, 1),
        "requests": (5, 5, 0),
        "enrolments": (1, 1, 0),
        "image-records": (2, 1, 1),
        "uploads": (1, 1, 0),
        "profile": (1, 0, 1),
    }
    assert lines["events"].oldest == lines["profile"].oldest == now
    stored.sweep()
    assert stored.counted() == {name: going for name, (_, going, _) in numbers.items() if going}
    assert stored.counted("held") == {"events": 1, "image-records": 1}


def test_staff_see_what_would_go_and_why_and_how_it_went(stored: Stored) -> None:
    stored.add("events", until=stored.clock())
    text = said(stored.platform, "preview")
    [line] = [line for line in text.splitlines() if "│ events" in line]
    assert "users/{uid}/events/{item}" in line
    assert "removed by the sweep" in text
    assert "sweep-events" not in said(stored.platform, "status")
    stored.sweep()
    [line] = [line for line in said(stored.platform, "status").splitlines() if "sweep-events" in line]
    assert "ended" in line
    assert "1 deleted" in line


def test_a_stuck_job_goes_on_once_staff_say_so(stored: Stored) -> None:
    stored.run("sweep-events")
    job = stored.db.document("rounds/sweep-events")
    job.update({"state": "stuck", "nextRunAt": None})
    row = stored.add("events", until=stored.clock())
    stored.sweep()
    assert row.get().exists
    said(stored.platform, "retry", "sweep-events")
    stored.sweep()
    assert not row.get().exists
    with pytest.raises(LookupError):
        retention.retry(stored.platform, "sweep-events")
