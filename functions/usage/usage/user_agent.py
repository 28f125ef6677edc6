"""User agents, reduced to device kind, browser family and major version.

Nothing of its text gets through. ua-parser takes some families from the text itself, where anything may stand, so a
family counts only if it is one of our list, and a version only if it is a small number. What was seen lately is
remembered under a digest, not under the text.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache, cached

if TYPE_CHECKING:
    from collections.abc import Callable

    from ua_parser.core import PartialResult

#: Characters that are looked at: browsers send up to about 300, and the rules take longer for more.
_MAX_CHARACTERS: Final = 512
_MAX_REMEMBERED_AGENTS: Final = 2048
_LOADING: Final = Lock()
_VERSION: Final = re.compile(r"[0-9]{1,3}")
_BOT: Final = re.compile(r"bot\b|bot/|crawl|spider|headless", re.IGNORECASE)
_TV: Final = re.compile(r"\bTV\b|SmartTV|SMART-TV|HbbTV|AppleTV|BRAVIA|CrKey")

_KINDS: Final = {
    "Windows": "desktop",
    "Mac OS X": "desktop",
    "Mac OS": "desktop",
    "Linux": "desktop",
    "Ubuntu": "desktop",
    "Fedora": "desktop",
    "Debian": "desktop",
    "FreeBSD": "desktop",
    "Chrome OS": "desktop",
    "Android": "phone",
    "iOS": "phone",
    "KaiOS": "phone",
    "Windows Phone": "phone",
    "BlackBerry OS": "phone",
    "BlackBerry Tablet OS": "tablet",
    "tvOS": "tv",
    "ATV OS X": "tv",
    "Chromecast Android": "tv",
    "Chromecast Linux": "tv",
    "FireHbbTV": "tv",
    "Tizen": "tv",
    "webOS": "tv",
}
"""By the operating system, whose name goes no further."""

BROWSERS: Final = frozenset(
    {
        *("Amazon Silk", "Android", "Brave", "Chrome", "Chrome Mobile", "Chrome Mobile WebView", "Chrome Mobile iOS"),
        *("Chromium", "DuckDuckGo", "DuckDuckGo Mobile", "Ecosia Android", "Ecosia iOS", "Edge", "Edge Mobile"),
        *("Facebook", "Firefox", "Firefox Mobile", "Firefox iOS", "Google", "Huawei Browser", "IE", "IE Mobile"),
        *("Instagram", "Konqueror", "LINE", "MiuiBrowser", "Mobile Safari", "Mobile Safari UI/WKWebView", "Opera"),
        *("Opera GX", "Opera Mini", "Opera Mobile", "Opera Touch", "Pinterest", "QQ Browser", "QQ Browser Mobile"),
        *("Safari", "Samsung Internet", "SeaMonkey", "Snapchat", "TikTok", "UC Browser", "Vivaldi", "WeChat Browser"),
        *("Whale", "Yandex Browser"),
    }
)
OTHER: Final = "Other"


@dataclass(frozen=True)
class Device:
    """All that is known of where an event comes from."""

    kind: str = "other"
    """desktop, phone, tablet, tv, bot or other."""
    browser: str = OTHER
    """One of `BROWSERS`, or OTHER."""
    major: int | None = None


def _digest(user_agent: str) -> bytes:
    return hashlib.blake2b(user_agent[:_MAX_CHARACTERS].encode(errors="replace"), digest_size=16).digest()


@cached(LRUCache(_MAX_REMEMBERED_AGENTS), key=_digest, lock=Lock())
def reduced(user_agent: str) -> Device:
    """What is kept of `user_agent`, whatever it is and however long."""
    text = user_agent[:_MAX_CHARACTERS]
    if not text.strip():
        return Device()
    # One at a time: threads that import a package's modules at once may find one half made.
    with _LOADING:
        parse = _parser()
    try:
        found = parse(text)
    except ValueError:  # a rule that matched and found no name
        return Device()
    family, version = (found.user_agent.family, found.user_agent.major) if found.user_agent else ("", None)
    kind = _kind(text, family, found.os.family if found.os else "")
    if family not in BROWSERS:
        return Device(kind)
    return Device(kind, family, int(version) if version and _VERSION.fullmatch(version) else None)


def _kind(text: str, family: str, system: str) -> str:
    if _BOT.search(family):
        return "bot"
    kind = _KINDS.get(system, "other")
    if kind in ("desktop", "phone") and _TV.search(text):
        return "tv"
    # An Android that does not call itself mobile is a tablet, by Google's own convention.
    if "iPad" in text or "Tablet" in text or (system == "Android" and "Mobile" not in text):
        return "tablet" if kind in ("phone", "tablet") else kind
    return kind


@cache
def _parser() -> "Callable[[str], PartialResult]":
    # Its rules take longer to load than all else here, so they wait for the first event; of the resolvers the one in
    # plain Python, which compiles a rule when it first needs it, takes the least of memory and time to start.
    from ua_parser.basic import Resolver  # noqa: PLC0415
    from ua_parser.core import Domain  # noqa: PLC0415
    from ua_parser.loaders import load_lazy_builtins  # noqa: PLC0415

    resolver = Resolver(load_lazy_builtins())
    return lambda text: resolver(text, Domain.USER_AGENT | Domain.OS)
