"""What is kept of user agents as browsers send them, and of those that nobody should send."""

import pytest
from cachetools import LRUCache
from hypothesis import given
from hypothesis import strategies as st

from usage import user_agent as usage_user_agent
from usage.user_agent import BROWSERS, OTHER, Device, reduced

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CANARY = "Ada-Canary"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/124.0.0.0 Safari/537.36",
            Device("desktop", "Chrome", 124),
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/17.4 Safari/605.1.15",
            Device("desktop", "Safari", 17),
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
            Device("desktop", "Firefox", 125),
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/124.0.0.0 Safari/537.36 Edg/124.0.2478.51",
            Device("desktop", "Edge", 124),
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {APPLE} Version/17.4 Mobile/15E148 Safari/604.1",
            Device("phone", "Mobile Safari", 17),
        ),
        (
            f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {APPLE} Version/16.6 Mobile/15E148 Safari/604.1",
            Device("tablet", "Mobile Safari", 16),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S918B) {WEBKIT} Chrome/123.0.0.0 Mobile Safari/537.36",
            Device("phone", "Chrome Mobile", 123),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-X700) {WEBKIT} Chrome/120.0.0.0 Safari/537.36",
            Device("tablet", "Chrome", 120),
        ),
        (
            f"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) {WEBKIT} SamsungBrowser/4.0 Chrome/76.0 TV Safari/537.36",
            Device("tv", "Samsung Internet", 4),
        ),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Device("bot")),
        ("curl/8.4.0", Device()),
        ("", Device()),
        (" \t", Device()),
    ],
)
def test_a_user_agent_is_reduced(user_agent: str, device: Device) -> None:
    assert reduced(user_agent) == device


@pytest.mark.parametrize(
    "user_agent",
    [
        f"{CANARY}/123456 CFNetwork/1485 Darwin/23.1.0",  # the rules take the name of whatever stands there
        f"{CANARY}-bot/1.0",
        f"Mozilla/5.0 (compatible; {CANARY} Spider 12)",
        f"Mozilla/5.0 ({CANARY}) Chrome/5551234567.0",
        f"Chrome/{CANARY}",
        f"Mozilla/5.0 ({CANARY}; " * 400,
        CANARY * 1_000,
        "(" * 10_000,
        "\udcff\x00\n" * 3_000,
    ],
)
def test_nothing_of_its_text_gets_through(user_agent: str) -> None:
    found = reduced(user_agent)
    assert CANARY not in repr(found)
    assert "555" not in repr(found)
    assert found.browser in BROWSERS | {OTHER}


@given(st.text() | st.from_regex(r"[\w ]{0,30}/\d{0,12}(\.\d+)? (CFNetwork|Chrome|bot|Spider|Mobile)/\d{1,9}"))
def test_whatever_comes_what_is_kept_is_of_a_list(user_agent: str) -> None:
    found = reduced(user_agent)
    assert found.kind in {"desktop", "phone", "tablet", "tv", "bot", "other"}
    assert found.browser in BROWSERS | {OTHER}
    assert found.major is None or 0 <= found.major <= 999


def test_what_stands_behind_512_characters_is_not_looked_at() -> None:
    chrome = f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/124.0.0.0 Safari/537.36"
    assert reduced(" " * 600 + chrome) == Device()
    assert reduced(chrome + " " * 10_000) == reduced(chrome)


def test_what_is_remembered_is_bounded_and_holds_no_text() -> None:
    cache = usage_user_agent.reduced.cache
    assert isinstance(cache, LRUCache)
    for number in range(int(cache.maxsize) + 50):
        reduced(f"x{number}")
    assert len(cache) == cache.maxsize
    assert all(isinstance(key, bytes) and len(key) == 16 for key in cache)
