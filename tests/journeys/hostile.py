"""Requests that a callable might get, derived from the schema of what it asks for: good ones, nearly good ones, bad
ones, and such as no client would send."""

import base64
import copy
import json
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from local.demo.client import POLICY_VERSION, unsigned_token

T = TypeVar("T")

CANARY: Final = "canary-<7f3a>"
"""In every piece of text that is none of the schema's, and as no name of a field: it must not be repeated."""
_ADDRESS: Final = "198.51.{}.{}"
_EXAMPLES, _SHORT = 3, 1_000

_WORDS: Final = (
    "",
    "\x00",
    "__x__",
    "..",
    "../..",
    "null",
    "\ud800",
    "\u202e",
    "é" * 99,
    "%s%n",
    "{{7*7}}",
    "x" * 9_999,
)
#: What a pattern may allow and a store may not.
_NAMES: Final = ("__reserved__", "________", "-" * 8, "0" * 64, "constructor")
_text = st.builds(lambda word: f"{word}{CANARY}", st.sampled_from(_WORDS) | st.text(max_size=20))
_number = st.sampled_from(
    (0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0, 0.1, math.nan, math.inf, -math.inf)
)
_leaf = st.none() | st.booleans() | _number | _text
ANYTHING: Final[SearchStrategy[Any]] = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4), max_leaves=8
)


@dataclass(frozen=True)
class Request:
    """One HTTP request; what it is answered must hold nothing of it."""

    method: str
    headers: dict[str, str]
    body: bytes


def good(schema: dict[str, Any], root: dict[str, Any] | None = None) -> SearchStrategy[Any]:
    """What `schema`, a JSON Schema as pydantic writes it, allows."""
    root = root or schema
    if "$ref" in schema:
        return good(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return st.one_of([good(choice, root) for choice in choices])
    if "const" in schema or "enum" in schema:
        return st.sampled_from([schema["const"]] if "const" in schema else schema["enum"])
    plain: dict[str, Callable[[], SearchStrategy[Any]]] = {
        "object": lambda: _object(schema, root),
        "array": lambda: st.lists(good(schema["items"], root), min_size=schema.get("minItems", 0), max_size=_EXAMPLES),
        "string": lambda: _string(schema),
        "integer": lambda: st.integers(schema.get("minimum"), schema.get("maximum")),
        "boolean": st.booleans,
        "null": st.none,
    }
    return plain[schema["type"]]()  # one that is missing is new here: teach it


def _object(schema: dict[str, Any], root: dict[str, Any]) -> SearchStrategy[dict[str, Any]]:
    fields = {name: good(field, root) for name, field in schema.get("properties", {}).items()}
    needed = {name: fields.pop(name) for name in schema.get("required", [])}
    return st.fixed_dictionaries(needed, optional=fields)


def _string(schema: dict[str, Any]) -> SearchStrategy[str]:
    if "pattern" in schema:
        odd = [word for word in _NAMES if re.search(schema["pattern"], word)]
        return st.one_of(st.from_regex(schema["pattern"], fullmatch=True), *map(st.just, odd))
    return st.just(POLICY_VERSION) | st.text(max_size=schema.get("maxLength", 40))


@st.composite
def nearly(draw: DrawFn, whole: SearchStrategy[Any]) -> Any:
    """A good one with something in it left out, added or replaced, in up to three places."""
    data = copy.deepcopy(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        within: Any = data
        while isinstance(within, dict | list) and within:
            key = draw(st.sampled_from(sorted(within) if isinstance(within, dict) else range(len(within))))
            if not isinstance(within[key], dict | list) or draw(st.booleans()):
                break
            within = within[key]
        if not isinstance(within, dict | list) or not within:
            return draw(ANYTHING)
        match draw(st.sampled_from(("replace", "remove", "add"))):
            case "replace":
                within[key] = draw(ANYTHING)
            case "remove":
                del within[key]
            case "add" if isinstance(within, dict):
                within[draw(_text)] = draw(ANYTHING)
            case "add":
                within.extend(within * draw(st.sampled_from((1, 200))))
    return data


def _nested(data: str) -> SearchStrategy[str]:
    deep = st.sampled_from((50, 20_000)) | st.integers(850, 1_000)
    return st.builds(
        lambda times, pair: pair[0] * times + data + pair[1] * times, deep, st.sampled_from(("[]", ('{"a":', "}")))
    )


def _often(usual: SearchStrategy[T], *odd: SearchStrategy[T], share: int = 3) -> SearchStrategy[T]:
    """`usual` so many times more often than the others together: `one_of` would count the branches of each."""
    return st.integers(0, share).flatmap(lambda turn: usual if turn < share else st.one_of(odd))


def _bodies(schema: dict[str, Any]) -> SearchStrategy[bytes]:
    whole_data = good(schema)
    data = _often(whole_data, _often(nearly(whole_data), ANYTHING), share=1).map(json.dumps)
    whole = data.map('{{"data": {}}}'.format)
    odd = (
        data.flatmap(_nested).map('{{"data": {}}}'.format).map(str.encode),
        st.builds(lambda body, end: body.encode()[:end], whole, st.integers(0, 200)),
        data.map(str.encode),
        data.map('{{"data": 1, "data": {}}}'.format).map(str.encode),
        st.builds(str.encode, whole, st.sampled_from(("utf-16", "utf-32-le", "utf-8-sig", "cp037"))),
        st.just(b'{"data": {"id": ' + b"1" * 5_000 + b"}}"),
        st.binary(max_size=60),
        st.builds('{{"data": {}, {}: {}}}'.format, data, _text.map(json.dumps), data).map(str.encode),
    )
    return _often(whole.map(str.encode), *odd)


_TYPES: Final = (
    *("", "é", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/j"),
    *(f"application/json{more}" for more in ("; charset=utf-8", "; charset=utf-16", f";charset={CANARY}", ";;;")),
)
_AGENTS: Final = ("", "x" * 5_000, CANARY, "Mozilla/5.0 (" * 99)


def _authorizations(project: str, people: tuple[str, ...]) -> SearchStrategy[str | None]:
    # Not drawn: what is drawn is often the same, and would be told to come back later.
    person = st.builds(lambda: secrets.choice(people)).map(lambda uid: {"sub": uid, "user_id": uid})
    whole = person.map(lambda claims: unsigned_token(project, **claims))
    names = st.sampled_from(("sub", "user_id", "exp", "iat", "auth_time", "aud", "iss"))
    # The server itself refuses a header of over 8 KiB, in its own words.
    short = _leaf.filter(lambda value: len(json.dumps(value)) < _SHORT)
    claims = st.dictionaries(names, short, min_size=1, max_size=3)
    parts = st.sampled_from((b"1", b"[]", b"null", b"{", b"\xff")).map(base64.urlsafe_b64encode).map(bytes.decode)
    odd = (
        st.builds(lambda who, odd: unsigned_token(project, **(who | odd)), person, claims),
        st.builds(lambda token, end: token[:end], whole, st.integers(0, 400)),
        parts.map(lambda part: f"{part}.{part}.{part}"),
        st.sampled_from(("", "x y z", CANARY, "A" * 6_000)),
    )
    bearer: SearchStrategy[str | None] = _often(whole, *odd).map("Bearer {}".format)
    return _often(bearer, st.none(), st.sampled_from(("", "Bearer", "bearer x", "Basic YTpi", CANARY)), share=6)


def requests(schema: dict[str, Any], project: str, people: tuple[str, ...]) -> SearchStrategy[Request]:
    """A request to the callable that asks for `schema`, by one of `people` or by nobody. Each comes from a network of
    its own, so that none is refused for being one too many."""
    headers: dict[str, SearchStrategy[str | None]] = {
        "Content-Type": _often(st.just("application/json"), st.sampled_from(_TYPES)),
        "Authorization": _authorizations(project, people),
        "User-Agent": st.sampled_from(_AGENTS),
        "X-Forwarded-For": st.builds(lambda: _ADDRESS.format(secrets.randbelow(256), secrets.randbelow(256))),
    }
    method = _often(st.just("POST"), st.sampled_from(("GET", "PUT", "DELETE", "HEAD", "OPTIONS")), share=30)
    return st.builds(Request, method, st.fixed_dictionaries(headers).map(_without_none), _bodies(schema))


def _without_none(headers: dict[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in headers.items() if text is not None}
