"""The public policy page: each version, and what became of it.

`?format=txt`, or `Accept: text/plain`, answers the text alone, byte for byte: `sha256sum` of it is the hash that the
page, the consent receipts and the log name. Announced, replaced and withdrawn versions stay readable, and say so.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from flask import Request, Response

from astra import policies
from astra.policies import Policy, State
from astra.runtime import log, templates
from astra.runtime.headers import HARDENED
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit, TooMany
from astra.runtime.settings import RedisSettings
from astra.runtime.templates import day

_NETWORK_LIMIT: Final = Limit(120)
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_CACHE_CONTROL: Final = "public, max-age=300"
_PROBE: Final = "/__/health"
_HEADING: Final = re.compile(r"\d+(\.\d+)*\.? \S")
_MAX_HEADING_CHARACTERS: Final = 80
_HEADERS: Final = {
    **HARDENED,
    "Access-Control-Allow-Origin": "*",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Vary": "Accept",
}


@dataclass(frozen=True)
class Block:
    """A piece of a policy's text: `h2` to `h4`, `p`, or `ul`, whose lines are its items."""

    kind: str
    lines: tuple[str, ...]


def policy_page(platform: Platform[RedisSettings], request: Request) -> Response:
    """GET or HEAD, no sign-in: a version of the policy as a page or as text. `If-None-Match` is answered."""
    try:
        response = _answer(platform, request)
    except Exception as error:  # noqa: BLE001  (the boundary of the function: no message may get out)
        log.failure(log.Event.FAILED, error)
        response = _said("Something failed on our side. Try again later.", HTTPStatus.INTERNAL_SERVER_ERROR)
    response.headers.update(_HEADERS)
    return response


def _answer(platform: Platform[RedisSettings], request: Request) -> Response:
    if request.method not in ("GET", "HEAD"):
        return _said("Use GET.", HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
    if request.path == _PROBE:  # each new instance is asked for this
        return _said("", HTTPStatus.NOT_FOUND)
    try:
        platform.limits.admit_network(request, "policy_page", _NETWORK_LIMIT)
    except TooMany as many:
        return _said(str(many), HTTPStatus.TOO_MANY_REQUESTS, **many.headers)
    now, as_text = platform.clock(), _wants_text(request)
    in_force = policies.current(platform.db, now)
    name = request.args.get("version") or request.path.strip("/") or in_force.version
    stored = platform.db.collection(policies.PUBLIC).document(name).get() if _VERSION.fullmatch(name) else None
    fields = stored.to_dict() if stored else None
    every = policies.versions(platform.db)
    if fields is None:
        return _missing(every, in_force, now, as_text=as_text)
    if as_text:
        response = Response(fields["text"], mimetype="text/plain")
    else:
        response = Response(render(fields, every, in_force, now), mimetype="text/html")
    response.headers["Cache-Control"] = _CACHE_CONTROL
    response.add_etag()
    response.make_conditional(request)
    return response


def render(fields: dict[str, Any], every: list[Policy], in_force: Policy, now: datetime) -> str:
    """The page of the version that `fields` are of."""
    [chosen] = [one for one in every if one.version == fields["version"]]
    title, *rest = fields["text"].splitlines()
    if rest and rest[0].startswith("Last updated:"):
        rest = rest[1:]
    return _page(
        "policy",
        title=title,
        blocks=blocks(rest),
        chosen=chosen,
        last_updated=policies.dated(chosen.version),
        standing=standing(chosen, in_force, every, now),
        in_force=in_force,
        is_in_force=chosen.version == in_force.version,
        coming=[one for one in every if _is_coming(one, in_force, now) and one.version > chosen.version],
        versions=_listed(every, in_force, now),
    )


def blocks(lines: list[str]) -> list[Block]:
    """What a policy's lines are. A short line that ends like no sentence is a heading; so is one with a number."""
    found: list[Block] = []
    level = 1
    for line in filter(None, map(str.strip, lines)):
        if line.startswith("- "):
            before = found.pop().lines if found and found[-1].kind == "ul" else ()
            found.append(Block("ul", (*before, line[2:])))
        elif len(line) > _MAX_HEADING_CHARACTERS or line[-1] in ".:;,":
            found.append(Block("p", (line,)))
        elif _HEADING.match(line):
            level = 2 + line.split(" ")[0].strip(".").count(".")
            found.append(Block(f"h{min(level, 4)}", (line,)))
        else:
            found.append(Block(f"h{min(level + 1, 4)}", (line,)))
    return found


def standing(version: Policy, in_force: Policy, every: list[Policy], now: datetime) -> str:
    """What became of a version, or will."""
    since = day(version.effective_at or version.announced_for)
    if version.state is State.WITHDRAWN:
        return "Withdrawn: it never took effect, and will not."
    if version.state is State.SUPERSEDED:
        return "Overtaken by a newer version: it never took effect, and will not."
    if version.state is State.ANNOUNCED:
        return f"Announced: takes effect on {since}, but not before everybody has been told."
    if not version.is_in_force(now):
        return f"Announced: takes effect on {since}."
    if version.version == in_force.version:
        return f"In force since {since}."
    followers = [one for one in every if one.version > version.version and one.is_in_force(now)]
    return f"In force from {since} to {day(min(one.effective_at for one in followers if one.effective_at))}."


def _is_coming(version: Policy, in_force: Policy, now: datetime) -> bool:
    return not version.ended and not version.is_in_force(now) and version.version > in_force.version


def _listed(every: list[Policy], in_force: Policy, now: datetime) -> list[tuple[Policy, str]]:
    return [(one, standing(one, in_force, every, now)) for one in reversed(every)]


def _missing(every: list[Policy], in_force: Policy, now: datetime, *, as_text: bool) -> Response:
    listed = _listed(every, in_force, now)
    if as_text:
        there_are = "".join(f"{one.version}  {what}\n" for one, what in listed)
        return _said(f"There is no such version of the policy. There are:\n\n{there_are}", HTTPStatus.NOT_FOUND)
    page = _page("policy-missing", versions=listed, chosen=None)
    return Response(page, HTTPStatus.NOT_FOUND, {"Cache-Control": "no-store"}, mimetype="text/html")


def _said(text: str, status: HTTPStatus, **headers: str) -> Response:
    return Response(text, status, {"Cache-Control": "no-store", **headers}, mimetype="text/plain")


def _wants_text(request: Request) -> bool:
    asked = request.args.get("format", "")
    if asked:
        return asked == "txt"
    return request.accept_mimetypes.best_match(["text/html", "text/plain"], "text/html") == "text/plain"


def _page(name: str, **facts: Any) -> str:
    return templates.environment("governance").get_template(f"{name}.html.j2").render(facts)
