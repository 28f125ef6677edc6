"""A life has changed in the data map: what was stamped before follows, also when the work breaks off."""

import dataclasses
import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from firebase_admin import auth

from astra import tlog
from astra.accounts import activity, honeytokens
from astra.datamap import expiry, table
from astra.runtime.cursors import between
from astra.runtime.platform import Platform
from retention import restamp, schedule
from tests.functions.retention.stored import Stored

DAY = timedelta(days=1)


def live(monkeypatch: pytest.MonkeyPatch, name: str, life: timedelta | None) -> None:
    """Give an entry of the data map another life, or none."""
    changed = tuple(dataclasses.replace(entry, lives=life) if entry.name == name else entry for entry in table.DATA_MAP)
    monkeypatch.setattr(expiry, "DATA_MAP", changed)


def lives_of(stored: Stored, name: str = "requests") -> set[timedelta]:
    rows = expiry.everybodys(stored.db, next(e for e in expiry.entries() if e.name == name)).get()
    return {fields["expireAt"] - fields["createdAt"] for fields in (row.to_dict() or {} for row in rows)}


@pytest.fixture
def rows(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Twenty of several people and times, some of one instant, gone through with the present life."""
    for number in range(20):
        stored.add("requests", f"person-{number % 7}", createdAt=stored.clock() - DAY * (number // 4))
    stored.sweep()
    assert stored.job("restamp-requests")["life"] == 731 * 86400
    monkeypatch.setattr(restamp, "_PAGE_DOCUMENTS", 3)
    return stored


@pytest.mark.parametrize("days", [400, 1000])
def test_rows_follow_a_longer_and_a_shorter_life(rows: Stored, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    live(monkeypatch, "requests", timedelta(days=days))
    rows.sweep()
    assert lives_of(rows) == {timedelta(days=days)}
    job = rows.job("restamp-requests")
    assert (job["state"], job["counts"], job["cursor"]) == ("ended", {"stamped": 20}, None)
    [record] = [one for one in rows.evidence(tlog.Action.LIFE_CHANGED) if one["lifeSeconds"] == days * 86400]
    assert (record["entry"], record["stamped"]) == ("requests", 20)
    fence = job["fence"]
    rows.sweep()
    assert rows.job("restamp-requests")["fence"] == fence, "it is done once"


def test_a_shorter_life_takes_effect_at_the_next_sweep(rows: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, "requests", timedelta(days=2))
    rows.sweep()
    rows.sweep()
    assert lives_of(rows) == {timedelta(days=2)}
    assert rows.counted() == {"requests": 12}


def test_what_has_expired_does_not_come_back(rows: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.clock.step(days=728)  # of half of them the time is over, and they are held
    for number in range(7):
        rows.hold(f"person-{number}", "requests")
    rows.sweep()
    held = rows.counted("held")["requests"]
    assert 0 < held < 20
    live(monkeypatch, "requests", timedelta(days=1000))
    rows.sweep()
    assert rows.job("restamp-requests")["counts"] == {"stamped": 20 - held}


@pytest.mark.parametrize("days", [400, 1000])
def test_killed_between_any_two_pages_it_goes_on(rows: Stored, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    live(monkeypatch, "requests", timedelta(days=days))
    real, calls, deaths = restamp.Restamp.page, [0], 0

    def dying(self: restamp.Restamp, job: dict[str, Any]) -> Any:
        calls[0] += 1
        if calls[0] % 2 == 0:
            raise KeyboardInterrupt
        return real(self, job)

    monkeypatch.setattr(restamp.Restamp, "page", dying)
    while rows.job("restamp-requests").get("life") != days * 86400 or rows.job("restamp-requests")["nextRunAt"]:
        with suppress(KeyboardInterrupt):
            rows.sweep()
        deaths += 1
        rows.clock.step(minutes=6)
    assert deaths > 3
    assert lives_of(rows) == {timedelta(days=days)}
    assert rows.job("restamp-requests")["counts"] == {"stamped": 20}


def test_changed_again_while_it_runs_it_begins_again(rows: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, "requests", timedelta(days=400))
    real = restamp.Restamp.page

    def broken(self: restamp.Restamp, job: dict[str, Any]) -> Any:
        if job["cursor"]:
            raise KeyboardInterrupt
        return real(self, job)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(restamp.Restamp, "page", broken)
        rows.sweep()
    live(monkeypatch, "requests", timedelta(days=500))
    rows.sweep()
    assert lives_of(rows) == {timedelta(days=500)}


def test_a_batch_of_events_lives_from_the_earliest(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    now = stored.clock()
    row = stored.db.document("users/ada/events/batch")
    row.set({"events": [{"at": now}, {"at": now - DAY}], "createdAt": now, "expireAt": now + 89 * DAY})
    live(monkeypatch, "events", timedelta(days=30))
    stored.sweep()
    assert (row.get().to_dict() or {})["expireAt"] == now + 29 * DAY


def test_a_row_that_does_not_say_when_it_began_stays_as_it_is(stored: Stored) -> None:
    end = stored.clock() + DAY
    row = stored.db.document("users/ada/requests/odd")
    row.set({"expireAt": end})
    stored.sweep()
    assert (row.get().to_dict() or {})["expireAt"] == end
    assert stored.job("restamp-requests")["state"] == "ended"


def test_a_life_that_is_new_in_the_map_reaches_what_was_never_stamped(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = stored.clock()
    for number in range(5):
        age = {"createdAt": now - 100 * DAY * number}
        stored.db.document(f"users/person-{number}/consents/first").set(age)
    stored.sweep()
    assert stored.job("restamp-consents") == {}, "what has no life costs nothing"
    live(monkeypatch, "consents", 350 * DAY)
    stored.sweep()
    assert lives_of(stored, "consents") == {350 * DAY}
    stored.sweep()
    assert stored.counted() == {"consents": 1}
    [record] = [one for one in stored.evidence(tlog.Action.LIFE_CHANGED) if one["entry"] == "consents"]
    assert (record["lifeSeconds"], record["stamped"]) == (350 * 86400, 5)


def test_a_life_that_is_no_longer_in_the_map_lets_go(rows: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.clock.step(days=728)
    for number in range(7):
        rows.hold(f"person-{number}", "requests")
    rows.sweep()
    assert rows.counted("held")["requests"] > 0
    live(monkeypatch, "requests", None)
    rows.sweep()
    found = [row.to_dict() or {} for row in rows.db.collection_group("requests").get()]
    assert len(found) == 20
    assert not any({"expireAt", "expiredAt"} & set(fields) for fields in found)
    record = rows.evidence(tlog.Action.LIFE_CHANGED)
    assert {"entry": "requests", "lifeSeconds": None, "stamped": 20} in record
    fence = rows.job("restamp-requests")["fence"]
    rows.sweep()
    assert rows.job("restamp-requests")["fence"] == fence, "it is done once"


def test_a_day_later_it_goes_through_what_others_wrote_who_did_not_know_yet(
    rows: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(monkeypatch, "requests", 400 * DAY)
    rows.sweep()
    late = rows.add("requests", until=rows.clock() + 731 * DAY)
    rows.clock.step(hours=23)
    rows.sweep()
    assert lives_of(rows) == {400 * DAY, 731 * DAY}
    rows.clock.step(hours=1)
    rows.sweep()
    assert lives_of(rows) == {400 * DAY}
    assert rows.job("restamp-requests")["counts"] == {"stamped": 1}
    fence = rows.job("restamp-requests")["fence"]
    late.delete()
    rows.clock.step(days=3)
    rows.sweep()
    assert rows.job("restamp-requests")["fence"] == fence, "and no third time"


def test_of_who_has_more_rows_than_a_page_none_is_passed_over_and_nobody_is_named(
    rows: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(11):
        rows.add("requests", "person-3", secrets.token_hex(8))
    live(monkeypatch, "requests", 400 * DAY)
    cursors, real = [], restamp.Restamp.page

    def watched(self: restamp.Restamp, job: dict[str, Any]) -> Any:
        cursors.append(job["cursor"] or "")
        return real(self, job)

    monkeypatch.setattr(restamp.Restamp, "page", watched)
    rows.sweep()
    assert lives_of(rows) == {400 * DAY}
    assert rows.job("restamp-requests")["counts"] == {"stamped": 31}
    assert any("/" in cursor for cursor in cursors)
    ids = {part for row in rows.db.collection_group("requests").get() for part in row.reference.path.split("/")[3:]}
    assert not any(cursor.partition("/")[2] in ids for cursor in cursors)


def test_a_cursor_in_the_middle_of_somebody_is_of_whoever_comes_first() -> None:
    paths = [f"users/{uid}/events/{item}" for uid, item in (("ada", "x1"), ("bob", "a1"), ("bob", "b7"))]
    assert restamp._after(paths, None) == "b/b"
    assert restamp._after(paths[1:], "b/Z") == "b/b"
    assert restamp._after(paths[1:], None) == "/b"
    assert restamp._after(paths[:2], "Z") == "b"


def test_honey_is_not_touched(platform: Platform[Any], stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    bait = honeytokens.new_uid(platform.pseudonyms)
    row, person = stored.db.document(f"users/{bait}/consents/first"), profile(platform, bait)
    row.set({"createdAt": stored.clock()})
    live(monkeypatch, "consents", 350 * DAY)
    stored.sweep()
    assert "expireAt" not in (row.get().to_dict() or {})
    assert "inactivity" not in (person.get().to_dict() or {})


def profile(platform: Platform[Any], uid: str, **fields: Any) -> Any:
    row = platform.db.document("users", uid)
    row.set({"state": "active"} | fields)
    return row


def test_profiles_from_before_are_noted_as_auth_has_seen_them(
    platform: Platform[Any], stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restamp, "_PAGE_PEOPLE", 2)
    uids = [secrets.token_hex(6) for _ in range(5)]
    people = [profile(platform, uid) for uid in uids]
    leaving = profile(platform, "leaving", state="erasing")
    auth.create_user(uid=uids[0], app=platform.app)
    stored.clock.step(days=40)
    stored.sweep()
    due = stored.clock() + platform.settings.inactive - activity.FIRST_WARNING
    first, *others = [row.get().get("inactivity") for row in people]
    assert {noted["dueAt"] for noted in others} == {due}
    assert due - 41 * DAY < first["dueAt"] < due - 39 * DAY
    assert "inactivity" not in (leaving.get().to_dict() or {})
    job = stored.job("restamp-profile")
    assert (job["counts"], job["cursor"]) == ({"stamped": 5}, None)


def test_a_change_of_how_long_one_may_be_away_reaches_everybody(platform: Platform[Any], stored: Stored) -> None:
    settings, now = platform.settings, stored.clock()
    here = profile(platform, "here", inactivity=activity.seen(settings, now - 300 * DAY))
    warned = {**activity.seen(settings, now - 705 * DAY), "warnings": 1, "told": "x", "dueAt": now + DAY}
    gone = profile(platform, "gone", inactivity=warned)
    stored.sweep()
    platform.__dict__["settings"] = settings.model_copy(update={"inactive_days": 365})
    stored.sweep()
    assert here.get().get("inactivity")["dueAt"] == now + 35 * DAY
    assert gone.get().get("inactivity") == warned, "what they were told stands"
    platform.__dict__["settings"] = settings.model_copy(update={"inactive_days": 1000})
    stored.sweep()
    assert here.get().get("inactivity")["dueAt"] == now + 670 * DAY
    assert gone.get().get("inactivity")["warnings"] == 0
    assert gone.get().get("inactivity")["dueAt"] == now + 265 * DAY


def test_a_cursor_names_nobody() -> None:
    assert between("abc", "abd") == "abd"
    assert between("abc", "bcd") == "b"
    assert between("ab", "abc") == "abc"


def test_a_second_tick_meanwhile_does_not_disturb(rows: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, "requests", timedelta(days=400))
    real = restamp.Restamp.page

    def disturbed(self: restamp.Restamp, job: dict[str, Any]) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(restamp.Restamp, "page", real)
            schedule.sweep(rows.platform, timedelta(minutes=1))
        return real(self, job)

    monkeypatch.setattr(restamp.Restamp, "page", disturbed)
    rows.sweep()
    assert lives_of(rows) == {timedelta(days=400)}
    assert rows.job("restamp-requests")["counts"] == {"stamped": 20}
