"""Stand-in for Cloud Logging and service account keys, which have no emulator.

What is written (`entries:write`) can be listed, and goes to the topic `audit-logs` as the sink of a real project sends
it. Of the query language it knows what this repository asks in: comparisons joined by AND, and in brackets by OR.

https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
from werkzeug.routing import Map, Rule

from local.stand_ins.http_server import HttpStandIn, Problem, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Request, Response

TOPIC: Final = "audit-logs"
_ROUTES: Final = Map(
    [
        Rule("/v2/entries:write", methods=["POST"], endpoint="write_entries"),
        Rule("/v2/entries:list", methods=["POST"], endpoint="list_entries"),
        Rule("/v1/projects/<path:name>:<verb>", methods=["POST"], endpoint="turn_key"),
    ]
)
_TERM: Final = re.compile(r'([A-Za-z.]+)\s*(>=|<=|<|=|:)\s*(\([^)]*\)|"(?:[^"\\]|\\.)*")')
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


class GoogleStandIn(HttpStandIn):
    """Keeps entries in memory. `publish` is where the sink's topic is, or None without one."""

    PUBLIC = "/"

    def __init__(self, port: int, publish: str | None = None) -> None:
        super().__init__(port, _ROUTES)
        self.entries: list[dict[str, Any]] = []
        #: Whether each key of a service account that was ever turned off or on is off.
        self.disabled: dict[str, bool] = {}
        self._publish = publish

    def write_entries(self, request: Request) -> Response:
        """entries.write, and the sink."""
        entries = request.get_json()["entries"]
        self.entries.extend(entries)
        if self._publish:
            messages = [{"data": base64.b64encode(json.dumps(entry).encode()).decode()} for entry in entries]
            with httpx.Client(trust_env=False, timeout=30) as client:
                client.post(self._publish, json={"messages": messages}).raise_for_status()
        return answer({})

    def list_entries(self, request: Request) -> Response:
        """entries.list: ordered by time, a page at a time."""
        asked = request.get_json()
        matches = _parsed(asked["filter"])
        project = asked["resourceNames"][0]
        found = sorted((entry for entry in self.entries if _is_of(entry, project) and matches(entry)), key=_when)
        start, size = int(asked.get("pageToken") or 0), asked.get("pageSize", 50)
        more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
        return answer({"entries": found[start : start + size], **more})

    def turn_key(self, _request: Request, name: str, verb: str) -> Response:
        """projects.serviceAccounts.keys.disable and enable."""
        if verb not in ("disable", "enable"):
            raise Problem(404, "Not Found", "There is no such method")
        self.disabled[f"projects/{name}"] = verb == "disable"
        return answer({})


def _is_of(entry: dict[str, Any], project: str) -> bool:
    return str(entry.get("logName", "")).startswith(f"{project}/")


def _when(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def _exact(text: str) -> tuple[datetime, str]:
    """A moment with its nanoseconds, which Python's moments have not."""
    whole, _, part = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00"), part.ljust(9, "0")


def _parsed(asked: str) -> Callable[[dict[str, Any]], bool]:
    """What an entry must be. Raises Problem for what is beyond the part of the language that is known here."""
    known = [[*_TERM.finditer(term)] for term in re.split(r"\sAND\s", asked)]
    for term, either in zip(re.split(r"\sAND\s", asked), known, strict=True):
        joined = " OR ".join(one[0] for one in either)
        if not either or term.strip() not in (either[0][0], f"({joined})"):
            raise Problem(400, "Bad Request", "The filter is not of the known kind")
    return lambda entry: all(any(_of_term(entry, one) for one in either) for either in known)


def _of_term(entry: dict[str, Any], term: re.Match[str]) -> bool:
    return _holds(entry, term[1], term[2], [_unquoted(text) for text in _TEXT.findall(term[3])])


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _holds(entry: dict[str, Any], path: str, operator: str, wanted: list[str]) -> bool:
    value: Any = entry
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return False
    if path == "timestamp":
        at, than = _exact(value), _exact(wanted[0])
        return {"=": at == than, ">=": at >= than, "<=": at <= than, "<": at < than}[operator]
    return any(one in value if operator == ":" else one == value for one in wanted)
