"""Routes of the stand-in: URL templates of Google's REST APIs, checked requests, and errors in Google's shape."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.deployment.cloud.state import Cloud

Json = dict[str, Any]

CODES: Final = {
    "INVALID_ARGUMENT": (400, 3),
    "FAILED_PRECONDITION": (400, 9),
    "UNAUTHENTICATED": (401, 16),
    "PERMISSION_DENIED": (403, 7),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "ABORTED": (409, 10),
    "RESOURCE_EXHAUSTED": (429, 8),
    "UNIMPLEMENTED": (501, 12),
}


class Refusal(Exception):
    """An answer other than success: `status` is one of google.rpc.Code."""

    def __init__(self, status: str, message: str, reason: str | None = None, **metadata: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message
        self.http, self.rpc = CODES[status]
        self.details: list[Json] = []
        if reason:
            kind = "type.googleapis.com/google.rpc.ErrorInfo"
            self.details.append({"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata})

    @property
    def body(self) -> Json:
        """The error as REST APIs return it."""
        error = {"code": self.http, "message": self.message, "status": self.status}
        return {"error": error | ({"details": self.details} if self.details else {})}

    @property
    def in_operation(self) -> Json:
        """The error as a long-running operation holds it."""
        return {"code": self.rpc, "message": self.message}


@dataclass
class Ask:
    """One request: parts of its path by name, its query and its body."""

    method: str
    host: str
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    form: Mapping[str, str]
    caller: str = ""
    #: The access token that the request bore.
    token: str = ""

    def __getitem__(self, name: str) -> str:
        return self.parts[name]

    def json(self, known: Any = None, at: str = "") -> Json:
        """The body, whose fields must be among `known` (see `check_fields`)."""
        try:
            body = json.loads(self.content or b"{}")
        except ValueError:
            raise Refusal("INVALID_ARGUMENT", "Invalid JSON payload received. Parser terminated.") from None
        if not isinstance(body, dict):
            raise Refusal("INVALID_ARGUMENT", "Invalid JSON payload received. Root must be an object.")
        if known is not None:
            check_fields(body, known, at)
        return body

    def mask(self, name: str = "updateMask") -> list[str]:
        """The field mask of the query, if any."""
        return [path for path in self.query.get(name, "").split(",") if path]


@dataclass(frozen=True)
class Route:
    """One method of an API: `permission` is what the caller must have on the project, `reads` is True if it writes
    nothing whatever its HTTP method."""

    method: str
    pattern: re.Pattern[str]
    template: str
    handler: Callable[[Cloud, Ask], Any]
    permission: str | None
    reads: bool
    public: bool
    api: str


ROUTES: list[Route] = []


def serves(
    method: str, *templates: str, permission: str | None = None, reads: bool = False, public: bool = False
) -> Callable[[Callable[[Cloud, Ask], Any]], Callable[[Cloud, Ask], Any]]:
    """Register a handler for `method` of URLs like `run.googleapis.com/v1/projects/{project}/services/{service}`.

    `{name}` is one segment without a colon, `{name=**}` any number of segments, `*.` at the start any region. A
    `public` route needs no access token.
    """

    def register(handler: Callable[[Cloud, Ask], Any]) -> Callable[[Cloud, Ask], Any]:
        for template in templates:
            api = template.split("/", 1)[0].removeprefix("*.").removeprefix("*-")
            is_read = reads or method == "GET"
            ROUTES.append(Route(method, _pattern(template), template, handler, permission, is_read, public, api))
        return handler

    return register


def _pattern(template: str) -> re.Pattern[str]:
    host, path = template.split("/", 1)
    host = re.escape(host).replace(r"\*", "[a-z0-9-]+")
    parts = re.split(r"(\{[^}]+\})", "/" + path)
    text = ""
    for part in parts:
        if part.endswith("=**}"):
            text += f"(?P<{part[1:-4]}>.+)"
        elif part.startswith("{"):
            text += f"(?P<{part[1:-1]}>[^/:]+)"
        else:
            text += re.escape(part)
    return re.compile(host + text)


def check_fields(value: Any, known: Any, at: str = "") -> None:
    """Refuse a field that the API does not have. `known` is a dict of fields, a list of one shape, or None for any."""
    if known is None or value is None:
        return
    if isinstance(known, list):
        if not isinstance(value, list):
            raise Refusal("INVALID_ARGUMENT", f"Invalid value at '{at}': must be a list")
        for number, item in enumerate(value):
            check_fields(item, known[0], f"{at}[{number}]")
        return
    if not isinstance(value, dict):
        raise Refusal("INVALID_ARGUMENT", f"Invalid value at '{at}': must be an object")
    for name, item in value.items():
        if name not in known:
            where = f" at '{at}'" if at else ""
            message = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
            raise Refusal("INVALID_ARGUMENT", message)
        check_fields(item, known[name], f"{at}.{name}" if at else name)


def fields(names: str, **shapes: Any) -> Json:
    """The shape whose fields are `names`, separated by blanks, of any content, and `shapes`."""
    return dict.fromkeys(names.split()) | shapes


def check_name(what: str, value: str, pattern: str) -> None:
    """Refuse an identifier that the service would not take."""
    if not re.fullmatch(pattern, value):
        raise Refusal("INVALID_ARGUMENT", f"{what} '{value}' is invalid: it must match {pattern}")


def apply_mask(resource: Json, body: Json, mask: list[str], known: Any) -> None:
    """Write the fields of `body` that `mask` names into `resource`; an empty mask names every field of `body`."""
    for path in mask or list(body):
        names = path.split(".")
        shape, source, target = known, body, resource
        for name in names[:-1]:
            if shape is not None and name not in shape:
                raise Refusal("INVALID_ARGUMENT", f"Invalid field mask: unknown field '{path}'")
            shape = None if shape is None else shape[name]
            source = (source or {}).get(name) or {}
            target = target.setdefault(name, {})
        if isinstance(shape, dict) and names[-1] not in shape:
            raise Refusal("INVALID_ARGUMENT", f"Invalid field mask: unknown field '{path}'")
        if names[-1] in source:
            target[names[-1]] = source[names[-1]]
        else:
            target.pop(names[-1], None)
