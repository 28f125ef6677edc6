import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from astra.runtime import log, rate_limits
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonyms
from astra.runtime.rate_limits import Limit, Limits, TooMany, Unknown
from local.paths import ROOT

DEAD = Limits(rate_limits.connect("redis://127.0.0.1:9/0"), Pseudonyms(bytes(32)))
MINUTE = timedelta(minutes=1)
PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")


def test_the_window_fills_and_says_when_it_opens(platform: Platform[Any]) -> None:
    uid, counter = secrets.token_hex(8), platform.limits
    for _ in range(3):
        counter.count(uid, "open_image", 3, MINUTE)
    with pytest.raises(TooMany) as refusal:
        counter.count(uid, "open_image", 3, MINUTE)
    assert timedelta(0) < refusal.value.retry_after <= MINUTE
    counter.count(uid, "something-else", 3, MINUTE)
    counter.count(uid + "x", "open_image", 3, MINUTE)


def test_each_key_is_in_its_users_index_and_ends_by_itself(platform: Platform[Any]) -> None:
    uid, counter = secrets.token_hex(8), platform.limits
    counter.count(uid, "long", 9, timedelta(hours=1))
    counter.count(uid, "short", 9, MINUTE)
    index = rate_limits.index_of(uid)
    assert platform.redis.smembers(index) == {f"user:{{{uid}}}:rate:long", f"user:{{{uid}}}:rate:short"}
    for key in (index, *platform.redis.smembers(index)):
        assert 0 < platform.redis.ttl(key) <= 3600
    assert platform.redis.ttl(index) > 60, "the index must outlive each key that it names"


def test_a_dead_redis_lets_requests_through_quickly_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    DEAD.count("ada", "open_image", 1, MINUTE)
    DEAD.admit("user ada", "delete_item", Limit(1))
    printed = capsys.readouterr().out
    assert printed.count('"limiter.down"') == 2
    assert "ada" not in printed


def test_the_pages_metric_counts_just_what_is_printed_then(capsys: pytest.CaptureFixture[str]) -> None:
    DEAD.admit("user ada", "delete_item", Limit(1))
    printed = json.loads(capsys.readouterr().out)
    [metric] = re.findall(r"metrics create ([a-z-]+) .*\n +--log-filter '(.+)'", PAGE)
    assert f"logging.googleapis.com/user/{metric[0]}" in PAGE
    lines = r'resource\.type="cloud_run_revision" AND \(severity>=CRITICAL OR jsonPayload\.event=\((.+)\)\)'
    [events] = re.findall(lines, metric[1])
    assert printed["event"] in {event.strip('"') for event in events.split(" OR ")} <= {*map(str, log.Event)}
    policy = json.loads(re.findall(r"--policy '(.+?)'", PAGE, re.DOTALL)[0])
    assert policy["conditions"][0]["conditionThreshold"]["thresholdValue"] == 0


def test_where_security_is_at_stake_a_dead_redis_lets_nothing_through() -> None:
    with pytest.raises(Unknown):
        DEAD.admit("user ada", "unlock", Limit(1, fails_closed=True))


def test_who_is_admitted_is_told_apart_and_not_to_be_recognised(platform: Platform[Any]) -> None:
    who, before = f"user {secrets.token_hex(8)}", set(platform.redis.scan_iter())
    for _ in range(2):
        platform.limits.admit(who, "delete_item", Limit(2))
    with pytest.raises(TooMany) as refusal:
        platform.limits.admit(who, "delete_item", Limit(2))
    assert 1 <= refusal.value.seconds <= 60
    platform.limits.admit(who, "delete_account", Limit(2))
    platform.limits.admit(who + "x", "delete_item", Limit(2))
    made = set(platform.redis.scan_iter()) - before
    assert len([key for key in made if re.fullmatch("rate:[0-9a-f]{64}", key)]) == len(made) == 3
    assert all(0 < platform.redis.ttl(key) <= 60 for key in made)


def test_the_limit_holds_for_twenty_at_once(platform: Platform[Any]) -> None:
    who = f"user {secrets.token_hex(8)}"

    def admitted(_: int) -> bool:
        try:
            platform.limits.admit(who, "delete_item", Limit(7))
        except TooMany:
            return False
        return True

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(admitted, range(60))) == 7
