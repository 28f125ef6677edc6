"""What lies about in the bucket and in Redis."""

from datetime import timedelta
from typing import Any

import pytest

from astra.runtime import rate_limits
from retention import objects_and_keys
from tests.functions.retention.stored import Stored


def test_plaintext_that_nobody_took_up_goes_after_two_days(stored: Stored) -> None:
    blob = stored.platform.bucket.blob("incoming/ada/upload-0001")
    blob.upload_from_string(b"plain")
    sealed = stored.platform.bucket.blob("images/ada/upload-0001")
    sealed.upload_from_string(b"sealed")
    stored.sweep(days=1.9)
    assert blob.exists()
    stored.sweep(days=2.1)
    assert (blob.exists(), sealed.exists()) == (False, True)
    assert stored.counted() == {"uploads": 1}


def test_an_upload_that_arrives_under_the_same_name_meanwhile_stays(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    blob = stored.platform.bucket.blob("incoming/ada/upload-0001")
    blob.upload_from_string(b"old")
    blob.reload()
    real = type(blob).delete

    def delete(self: Any, **how: Any) -> None:
        asked.append(how["if_generation_match"])  # which the emulator takes and ignores
        real(self, **how)

    monkeypatch.setattr(type(blob), "delete", delete)
    stored.sweep(days=3)
    assert asked == [blob.generation]


def test_keys_that_would_stay_for_good_go_and_no_others(stored: Stored) -> None:
    redis = stored.platform.redis
    stored.platform.limits.count("ada", "open_image", 9, timedelta(minutes=1))
    redis.set("user:{bob}:rate:open_image", 3)
    redis.sadd("user:{bob}:keys", "user:{bob}:rate:open_image")
    redis.set("rate:0123", 3)
    redis.set("planted/other", 1)
    stored.sweep()
    assert sorted(redis.keys()) == ["planted/other", "user:{ada}:keys", "user:{ada}:rate:open_image"]
    assert stored.counted() == {"short-lived-keys": 3}


def test_many_keys_are_looked_at_in_few_requests(stored: Stored) -> None:
    pipeline = stored.platform.redis.pipeline()
    for number in range(2500):
        pipeline.set(f"rate:{number}", 1, ex=None if number % 2 else 60)
    pipeline.execute()
    assert len(list(objects_and_keys.forgotten(stored.platform))) == 1250


def test_a_dead_redis_delays_the_rest_of_nothing(stored: Stored) -> None:
    row = stored.add("events", until=stored.clock())
    stored.platform.__dict__["redis"] = rate_limits.connect("redis://127.0.0.1:9/0")
    stored.sweep()
    assert not row.get().exists
    assert stored.job("sweep-redis")["attempts"] == 1
