"""The sweep in this process, over the real stores."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from astra.datamap import expiry
from astra.erasure import item, legal_holds
from astra.runtime.platform import Platform
from retention import documents, schedule
from tests.functions.retention.stored import Stored, of

SECOND = timedelta(seconds=1)
FIXED = [entry.name for entry in expiry.entries() if entry.lives]


@pytest.mark.parametrize("name", FIXED)
def test_a_row_goes_once_its_time_is_over_and_not_before(stored: Stored, name: str) -> None:
    row, end = stored.add(name), stored.clock() + (of(name).lives or timedelta(0))
    stored.clock.now = end - SECOND
    stored.sweep()
    assert row.get().exists
    stored.clock.now = end
    stored.sweep()
    assert not row.get().exists
    assert stored.counted() == {name: 1}
    [record] = stored.evidence()
    assert record["rule"] == of(name).retention


def test_nothing_due_leaves_no_evidence(stored: Stored) -> None:
    stored.add("events")
    stored.sweep()
    assert stored.evidence() == []


def test_evidence_names_nobody(stored: Stored) -> None:
    for number in range(3):
        stored.add("events", f"person-{number}")
    stored.sweep(days=91)
    assert stored.counted() == {"events": 3}
    everything = repr([row.to_dict() for row in stored.db.collection("commitments").get()])
    everything += repr([row.to_dict() for row in stored.db.collection("rounds").get()])
    assert "person" not in everything


def test_more_than_a_page_goes_in_one_sweep_and_all_are_counted(stored: Stored) -> None:
    batch = stored.db.batch()
    for number in range(450):
        at = stored.clock() + timedelta(seconds=number // 300)  # many of one instant
        row = stored.db.document(f"users/ada/events/{number:04}")
        batch.set(row, {"at": at, "expireAt": at + timedelta(days=90)})
    batch.commit()
    stored.sweep(days=91)
    assert stored.db.collection("users/ada/events").get() == []
    assert stored.counted() == {"events": 450}
    assert stored.job("sweep-events")["counts"] == {"deleted": 450}


def test_what_is_called_alike_elsewhere_stays(stored: Stored) -> None:
    other = stored.db.document("planted/x/events/y")
    other.set({"expireAt": stored.clock()})
    row = stored.add("events", until=stored.clock())
    stored.sweep()
    assert (other.get().exists, row.get().exists) == (True, False)


def renew_between(stored: Stored, monkeypatch: pytest.MonkeyPatch, row: Any, **change: Any) -> None:
    """Have a row changed after the sweep has read it, and before it deletes it."""
    real = documents.Rows._at_once

    def late(rows: documents.Rows, page: Any) -> Counter[str]:
        row.update(change)
        return real(rows, page)

    monkeypatch.setattr(documents.Rows, "_at_once", late)


def test_a_row_that_is_renewed_just_then_survives_and_the_others_go(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [stored.add("requests", f"person-{number}", until=stored.clock()) for number in range(5)]
    renew_between(stored, monkeypatch, rows[2], expireAt=stored.clock() + timedelta(days=1))
    stored.sweep()
    assert [row.get().exists for row in rows] == [False, False, True, False, False]
    assert stored.counted() == {"requests": 4}


def test_a_row_that_goes_just_then_is_not_counted(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [stored.add("requests", f"person-{number}", until=stored.clock()) for number in range(3)]
    real = documents.Rows._at_once

    def late(self: documents.Rows, page: Any) -> Counter[str]:
        rows[0].delete()
        return real(self, page)

    monkeypatch.setattr(documents.Rows, "_at_once", late)
    stored.sweep()
    assert stored.counted() == {"requests": 2}


def test_what_is_held_stays_hidden_until_the_hold_ends(stored: Stored) -> None:
    row, other = stored.add("events", "ada"), stored.add("events", "bob")
    stored.clock.step(days=91)
    stored.hold("ada", "events", days=2.5)
    stored.sweep()
    assert (row.get().exists, other.get().exists) == (True, False)
    fields = row.get().to_dict() or {}
    assert expiry.has_expired(fields, stored.clock()), "it is not served again"
    assert fields["expiredAt"] < stored.clock() < fields["expireAt"]
    assert (stored.counted(), stored.counted("held")) == ({"events": 1}, {"events": 1})
    for days in (1, 1, 0.4):
        stored.clock.step(days=days)
        stored.sweep()
        assert row.get().exists
        assert (row.get().to_dict() or {})["expiredAt"] == fields["expiredAt"]
    stored.clock.step(days=0.1)
    stored.sweep()
    assert not row.get().exists


def test_what_is_held_is_read_once_a_day_and_not_every_hour(stored: Stored) -> None:
    stored.add("events", until=stored.clock())
    stored.hold("ada", "events", days=30)
    for _ in range(48):
        stored.sweep()
        stored.clock.step(hours=1)
    assert stored.counted("held") == {"events": 2}


def test_a_hold_that_was_released_keeps_for_no_longer_than_a_day(stored: Stored) -> None:
    row = stored.add("events", until=stored.clock())
    hold = stored.hold("ada", "events", days=300)
    stored.sweep()
    legal_holds.release(stored.db, stored.platform.pseudonyms.of_uid("ada"), hold, stored.clock())
    stored.clock.step(days=1)
    stored.sweep()
    assert not row.get().exists


def test_a_hold_on_something_else_keeps_nothing(stored: Stored) -> None:
    row = stored.add("events", until=stored.clock())
    stored.hold("ada", "consents")
    stored.sweep()
    assert not row.get().exists


def test_a_hold_that_is_placed_just_then_keeps(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    row, real = stored.add("events", until=stored.clock()), documents.Rows._at_once

    def late(rows: documents.Rows, page: Any) -> Counter[str]:
        stored.hold("ada", "events")
        return real(rows, page)

    monkeypatch.setattr(documents.Rows, "_at_once", late)
    stored.sweep()
    assert row.get().exists


def test_an_image_goes_with_its_objects_and_keys_at_its_own_end(stored: Stored) -> None:
    until = stored.clock() + timedelta(days=3)
    stored.image("ada", "ring-0001", until)
    stored.image("ada", "ring-00010", until + SECOND)  # begins like it
    stored.clock.now = until
    stored.sweep()
    assert stored.parts("ada", "ring-0001") == []
    assert len(stored.parts("ada", "ring-00010")) == 4
    assert stored.counted() == {"image-records": 1}


@pytest.mark.parametrize("held", ["sealed-images", "image-records", "object-keys"])
def test_of_a_held_image_nothing_goes(stored: Stored, held: str) -> None:
    record = stored.image("ada", "ring-0001", stored.clock())
    stored.hold("ada", held)
    stored.sweep()
    assert len(stored.parts("ada", "ring-0001")) == 4
    assert "expiredAt" in (record.get().to_dict() or {})


def test_a_hold_that_is_placed_while_a_page_goes_keeps_what_is_there_still(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, real = ["ring-0001", "ring-0002", "ring-0003"], item.Thing.destroy
    records = [stored.image("ada", name, stored.clock()) for name in names]
    monkeypatch.setattr(documents, "_THREADS", 1)
    placed: list[str] = []

    def destroy(thing: item.Thing, retry: Any = None) -> None:
        real(thing, retry)
        if not placed:
            placed.append(stored.hold("ada", "sealed-images"))

    monkeypatch.setattr(item.Thing, "destroy", destroy)
    stored.sweep()
    assert [len(stored.parts("ada", name)) for name in names] == [1, 4, 4]
    assert all((record.get().to_dict() or {})["expiredAt"] < stored.clock() + SECOND for record in records)
    assert stored.counted("held") == {"image-records": 3}
    legal_holds.release(stored.db, stored.platform.pseudonyms.of_uid("ada"), placed[0], stored.clock())
    stored.clock.step(days=1)
    stored.sweep()
    assert [stored.parts("ada", name) for name in names] == [[], [], []]


def test_the_key_of_a_held_prompt_stays_with_its_image(stored: Stored) -> None:
    stored.image("ada", "ring-0001", stored.clock())
    stored.db.document("users/ada/prompts/ring-0001").set({"createdAt": stored.clock()})
    stored.hold("ada", "prompts")
    stored.sweep()
    assert len(stored.parts("ada", "ring-0001")) == 4


def test_a_second_worker_and_a_second_tick_change_nothing(platform: Platform[Any], stored: Stored) -> None:
    for number in range(5):
        stored.add("events", f"person-{number}", until=stored.clock())
    for _ in range(3):
        stored.sweep()
    assert stored.counted() == {"events": 5}


def test_a_job_that_a_clock_left_in_the_future_does_not_block(stored: Stored) -> None:
    row = stored.add("events", until=stored.clock())
    ahead = stored.clock() + timedelta(days=1826)
    left = {"state": "running", "leased": True, "nextRunAt": ahead, "fence": 7, "attempts": 0}
    job = stored.db.document("rounds/sweep-events")
    job.set(left | {"createdAt": stored.clock(), "cursor": None, "counts": {}})
    stored.sweep()
    assert not row.get().exists


def test_a_job_that_another_worker_is_at_is_left_to_it(stored: Stored) -> None:
    row = stored.add("events", until=stored.clock())
    stored.run("sweep-events")
    row.set({"at": stored.clock(), "expireAt": stored.clock()})
    job = stored.db.document("rounds/sweep-events")
    job.update({"state": "running", "leased": True, "nextRunAt": stored.clock() + timedelta(minutes=4)})
    stored.sweep()
    assert row.get().exists
    stored.clock.step(minutes=4)
    stored.sweep()
    assert not row.get().exists


def test_a_sweep_with_nothing_to_do_begins_no_job(stored: Stored) -> None:
    stored.sweep()
    names = {job.id for job in stored.db.collection("rounds").get()}
    assert {name for name in names if name.startswith("sweep-")} == set()
    stored.add("events", until=stored.clock())
    stored.sweep()
    names = {job.id for job in stored.db.collection("rounds").get()}
    assert {name for name in names if name.startswith("sweep-")} == {"sweep-events"}


def test_a_short_budget_is_shared_and_the_next_sweep_goes_on(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_PAGE_DOCUMENTS", 2)
    monkeypatch.setattr(documents, "_QUERY_DOCUMENTS", 2)
    for number in range(6):
        stored.add("events", f"person-{number}", until=stored.clock())
        stored.add("requests", f"person-{number}", until=stored.clock())
    real = documents.Rows.work

    def slow(rows: documents.Rows, page: Any) -> Counter[str]:
        stored.clock.step(minutes=2)
        return real(rows, page)

    monkeypatch.setattr(documents.Rows, "work", slow)
    schedule.sweep(stored.platform, timedelta(minutes=5))
    assert stored.counted() == {"events": 4, "requests": 2}
    for _ in range(2):
        schedule.sweep(stored.platform, timedelta(minutes=5))
    assert stored.counted() == {"events": 6, "requests": 6}
