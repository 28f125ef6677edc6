import secrets
from datetime import timedelta
from typing import Any

import pytest

from astra import limits
from astra.limits import Limits, TooMany
from astra.platform import Platform

MINUTE = timedelta(minutes=1)


def test_the_window_fills_and_says_when_it_opens(platform: Platform[Any]) -> None:
    uid, counter = secrets.token_hex(8), Limits(platform.redis)
    for _ in range(3):
        counter.count(uid, "open_image", 3, MINUTE)
    with pytest.raises(TooMany) as refusal:
        counter.count(uid, "open_image", 3, MINUTE)
    assert timedelta(0) < refusal.value.retry_after <= MINUTE
    counter.count(uid, "something-else", 3, MINUTE)
    counter.count(uid + "x", "open_image", 3, MINUTE)


def test_each_key_is_in_its_users_index_and_ends_by_itself(platform: Platform[Any]) -> None:
    uid, counter = secrets.token_hex(8), Limits(platform.redis)
    counter.count(uid, "long", 9, timedelta(hours=1))
    counter.count(uid, "short", 9, MINUTE)
    index = limits.index_of(uid)
    assert platform.redis.smembers(index) == {f"user:{{{uid}}}:rate:long", f"user:{{{uid}}}:rate:short"}
    for key in (index, *platform.redis.smembers(index)):
        assert 0 < platform.redis.ttl(key) <= 3600
    assert platform.redis.ttl(index) > 60, "the index must outlive each key that it names"


def test_a_dead_redis_lets_requests_through_quickly_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Limits(limits.connect("redis://127.0.0.1:9/0")).count("ada", "open_image", 1, MINUTE)
    printed = capsys.readouterr().out
    assert '"limiter.down"' in printed
    assert "ada" not in printed
