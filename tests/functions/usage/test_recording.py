"""What `log_event` leaves behind, over the real stores."""

from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra import erasure
from astra.datamap.table import DATA_MAP
from astra.runtime.callables import Call, parse
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import close
from tests.functions.usage.users import CHROME, User
from usage.events import LogEvent
from usage.record import log_event

LIFE = timedelta(days=90)


@pytest.fixture
def ada(platform: Platform[Any]) -> User:
    return User(platform)


def milliseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def test_an_event_is_kept_with_the_device_reduced_and_nothing_else(ada: User) -> None:
    ada.log(event="page_viewed", props={"page": "gallery", "seconds": 12})
    now = ada.platform.clock()
    assert ada.stored() == [
        {
            "event": "page_viewed",
            "props": {"page": "gallery", "seconds": 12},
            "at": now,
            "device": "desktop",
            "browser": "Chrome",
            "browserMajor": 124,
            "createdAt": now,
            "expireAt": now + LIFE,
        }
    ]


def test_how_long_it_lives_is_what_the_data_map_says() -> None:
    [entry] = [entry for entry in DATA_MAP if entry.name == "events"]
    assert entry.lives == LIFE
    assert entry.retention.startswith("90 days")


@pytest.mark.parametrize("user_agent", ["", "x" * 10_000, "\x00\xff" * 5_000])
def test_a_user_agent_that_says_nothing_is_one_that_says_other(ada: User, user_agent: str) -> None:
    ada.log(user_agent, event="app_opened")
    [fields] = ada.stored()
    assert (fields["device"], fields["browser"], fields["browserMajor"]) == ("other", "Other", None)


def test_many_events_are_one_document(ada: User) -> None:
    now = ada.platform.clock()
    earlier = now - timedelta(hours=1)
    happened = milliseconds(earlier)
    ada.log(events=[{"event": "app_opened", "at": happened}, {"event": "image_opened", "props": {"size": "thumb"}}])
    [fields] = ada.stored()
    assert [(one["event"], one["props"], milliseconds(one["at"])) for one in fields["events"]] == [
        ("app_opened", {}, happened),
        ("image_opened", {"size": "thumb"}, milliseconds(now)),
    ]
    assert "event" not in fields
    # The oldest says when all go: none is kept longer than promised.
    assert milliseconds(fields["expireAt"]) == happened + LIFE // timedelta(milliseconds=1)


def test_a_clock_that_is_ahead_makes_no_event_live_longer(ada: User) -> None:
    now = ada.platform.clock()
    ada.log(event="app_opened", at=milliseconds(now + timedelta(days=400)))
    [fields] = ada.stored()
    assert (fields["at"], fields["expireAt"]) == (now, now + LIFE)


def test_what_is_a_week_old_comes_too_late(ada: User) -> None:
    now = ada.platform.clock()
    ada.log(event="app_opened", at=milliseconds(now - timedelta(days=6)))
    late = {"event": "app_opened", "at": milliseconds(now - timedelta(days=8))}
    for refusal in (ada.refused(**late), ada.refused(events=[{"event": "app_opened"}, late])):
        assert (refusal.code, refusal.message) == (FunctionsErrorCode.INVALID_ARGUMENT, "at: is more than 7 days ago")
    assert len(ada.stored()) == 1


def test_a_request_that_is_repeated_counts_once(ada: User) -> None:
    ada.log(event="app_opened", id="made-by-client")
    before = ada.stored()
    ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    ada.log(event="app_opened", id="made-by-client")
    ada.log(events=[{"event": "image_deleted"}], id="made-by-client")
    assert ada.stored() == before
    ada.log(event="app_opened", id="another-one")
    assert len(ada.stored()) == 2


def test_the_same_id_is_another_users_own(ada: User) -> None:
    eve = User(ada.platform)
    for person in (ada, eve):
        person.log(event="app_opened", id="made-by-client")
    assert len(ada.stored()) == len(eve.stored()) == 1


@pytest.mark.parametrize("name", [None, "made-by-client"])
def test_of_who_is_being_erased_nothing_is_kept(ada: User, name: str | None) -> None:
    ada.log(event="app_opened", id="made-by-client")
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    close(ada.platform.redis, ada.uid)
    before = ada.stored()
    refusal = ada.refused(event="page_viewed", id=name)
    assert (refusal.code, refusal.message) == (FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.")
    assert ada.stored() == before


def test_who_has_no_profile_logs_nothing(ada: User) -> None:
    ada.profile.delete()
    refusal = ada.refused(event="app_opened")
    assert (refusal.code, refusal.details) == (FunctionsErrorCode.PERMISSION_DENIED, {"reason": "no-profile"})
    assert ada.stored() == []


def test_whose_account_is_frozen_logs_nothing_within_the_minute(ada: User) -> None:
    ada.log(event="app_opened")
    ada.profile.update({"state": "frozen"})
    ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    assert ada.refused(event="app_opened").code is FunctionsErrorCode.PERMISSION_DENIED
    assert len(ada.stored()) == 1
    ada.profile.update({"state": "active"})
    ada.log(event="app_opened")
    assert len(ada.stored()) == 2


def test_the_profile_is_read_once_a_minute(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = firestore.DocumentReference.get

    def get(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(self.path)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(firestore.DocumentReference, "get", get)
    for _ in range(3):
        ada.log(event="app_opened")
    assert asked == [ada.profile.path]


def test_who_has_not_signed_in_logs_nothing(platform: Platform[Any]) -> None:
    with pytest.raises(HttpsError) as refusal:
        log_event(platform, Call(parse(LogEvent, {"event": "app_opened"}), None, user_agent=CHROME))
    assert refusal.value.code is FunctionsErrorCode.UNAUTHENTICATED
    assert CHROME not in repr(Call(parse(LogEvent, {"event": "app_opened"}), None, user_agent=CHROME))
