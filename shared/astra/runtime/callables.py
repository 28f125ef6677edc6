"""Callable functions: typed request, plain answer, standard errors.

What the platform leaves open is closed here: a body that is not JSON is the caller's fault and not ours, unknown
fields are refused, an expired token is refused in the emulators too, an unforeseen exception leaves neither its
message nor its traceback in the answer or the log.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, ParamSpec, TypeVar

from firebase_functions import https_fn
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from flask import Request, Response, jsonify, make_response
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from astra.runtime import http, log
from astra.runtime.account_id import is_account_id
from astra.runtime.clock import Clock
from astra.runtime.rate_limits import Limit, TooMany, Unknown
from astra.runtime.settings import RedisSettings, emulated

if TYPE_CHECKING:
    from astra.runtime.deployment import Group
    from astra.runtime.platform import Platform

_YEAR_10000: Final = 253_402_300_800
_MAX_DEPTH: Final = 20
_UNREADABLE: Final = 'The body must be JSON of the form {"data": {…}}.'
_REFUSAL_LIMIT: Final = Limit(600)
"""How often a network may send what is not even a request, or no valid token with it."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


class Shape(BaseModel):
    """The base of every request: exact types, no unknown fields."""

    # Each function runs in processes of its own, so that the requests of its neighbours are never made into validators.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


def _agreed(value: bool) -> bool:
    if not value:
        raise ValueError("must be true")
    return value


# Not Literal[True]: to Python the number 1 is a True.
Agreed = Annotated[bool, AfterValidator(_agreed)]
"""A field that must be `true`."""

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=RedisSettings)
Answer = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Who calls, as their ID token says. `signed_in_at` is when they last proved who they are."""

    uid: str
    signed_in_at: datetime
    id_token: str


@dataclass(frozen=True)
class Call(Generic[M]):
    """One request: its checked data and, where the function asks for one, its caller."""

    data: M
    signed_in: Caller | None = None
    network: str | None = field(default=None, repr=False)
    """The masked network that it came from: for the moment, and never to be stored as it is."""
    user_agent: str = field(default="", repr=False)
    """What the client says of itself, of any length. Only ever reduced; see policy 2.1."""

    @property
    def caller(self) -> Caller:
        """The caller; refuses the request if there is none."""
        if self.signed_in is None:
            raise HttpsError(FunctionsErrorCode.UNAUTHENTICATED, "Sign in first.")
        return self.signed_in


def on_call(
    group: "Group[T]",
    shape: type[M],
    limit: Limit,
    shortcut: Callable[[Call[M]], Answer | None] | None = None,
    **options: Any,
) -> Callable[[Callable[[Call[M]], Answer]], Callable[[Request], Response]]:
    """`https_fn.on_call` for a handler of `Call[shape]` in `group`, at most `limit` times for each user, or for each
    network of those who have not signed in. App Check is enforced outside the emulators.

    `shortcut` is asked first, for whoever has signed in. It counts itself what it answers, raising TooMany; None leaves
    the request to be counted, and to the handler."""
    platform = group.platform

    def decorate(handler: Callable[[Call[M]], Answer]) -> Callable[[Request], Response]:
        def parsed(request: https_fn.CallableRequest[Any]) -> Answer:
            caller = _caller(request, platform.clock)
            user_agent = request.raw_request.headers.get("User-Agent", "")
            checked = functools.cache(lambda: parse(shape, request.data))
            if shortcut and caller:
                answer = _ahead(shortcut, lambda: Call(checked(), caller, None, user_agent))
                if answer is not None:
                    return answer
            came_from = http.of(request.raw_request)
            who = f"user {caller.uid}" if caller else f"network {came_from}"
            admit(platform, who, handler.__name__, limit)
            return handler(Call(checked(), caller, came_from, user_agent))

        parsed.__name__ = handler.__name__
        wrap: Any = https_fn.on_call(enforce_app_check=not emulated(), **group.options(**options))
        inner: Callable[[Request], Response] = wrap(group.serves(parsed))

        @functools.wraps(inner)
        def outer(request: Request) -> Response:
            try:
                body = request.get_json(silent=True)
            except RecursionError:
                body = None
            readable = request.method != "POST" or (
                isinstance(body, dict) and set(body) == {"data"} and not _is_deep(request.get_data(), body)
            )
            # What else stands in it the SDK would log.
            response = inner(request) if readable else _error(400, "INVALID_ARGUMENT", _UNREADABLE)
            if not readable or response.status_code == HTTPStatus.UNAUTHORIZED:
                response = _counted(platform, request, response)
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                response.headers["Retry-After"] = str(response.get_json()["error"]["details"]["retryAfterSeconds"])
            return response

        return outer

    return decorate


def _ahead(shortcut: Callable[[Call[M]], Answer | None], call: Callable[[], Call[M]]) -> Answer | None:
    try:
        return shortcut(call())
    except TooMany as many:
        raise _exhausted(many) from None
    except HttpsError:
        return None  # it is refused again, once it is counted


def _counted(platform: "Platform[RedisSettings]", request: Request, refusal: Response) -> Response:
    """`refusal`, of what could be anybody's, counted as its network's: once they are too many, they wait."""
    try:
        platform.limits.admit_network(request, "refused", _REFUSAL_LIMIT)
    except TooMany as many:
        return _error(429, "RESOURCE_EXHAUSTED", str(many), details=_details(many))
    return refusal


def _error(code: int, status: str, message: str, **more: Any) -> Response:
    return make_response(jsonify(error={"status": status, "message": message, **more}), code)


def _exhausted(many: TooMany) -> HttpsError:
    return HttpsError(FunctionsErrorCode.RESOURCE_EXHAUSTED, str(many), _details(many))


def _details(many: TooMany) -> dict[str, int]:
    return {"retryAfterSeconds": many.seconds}


def _is_deep(text: bytes, body: Any) -> bool:
    """Whether `body`, as parsed of `text`, is nested so deep that whoever looks at it next may run out of stack."""
    if text.count(b"{") + text.count(b"[") <= _MAX_DEPTH:
        return False  # each level takes a bracket
    level = [body]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def admit(platform: "Platform[RedisSettings]", who: str, action: str, limit: Limit) -> None:
    """Count one request of `who`; refuses the request with `resource-exhausted` once it is one too many."""
    try:
        platform.limits.admit(who, action, limit)
    except TooMany as many:
        raise _exhausted(many) from None
    except Unknown:
        raise HttpsError(FunctionsErrorCode.UNAVAILABLE, "This is not possible just now: try again later.") from None


def guarded(handler: Callable[P, R]) -> Callable[P, R]:
    """Let `HttpsError` pass; turn every other exception into INTERNAL, logged by class and place only."""

    @functools.wraps(handler)
    def guard(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except HttpsError:
            raise
        except Exception as error:  # noqa: BLE001
            log.failure(log.Event.FAILED, error)
            # `from None`: the platform prints the chain of what it catches.
            raise HttpsError(FunctionsErrorCode.INTERNAL, "Something failed on our side. Try again later.") from None

    return guard


def parse(shape: type[M], data: object) -> M:
    """`data` as `shape`, or `invalid-argument` naming each field that is wrong and why, never its value."""
    try:
        return shape.model_validate(data)
    except ValidationError as invalid:
        problems = [
            f"{_path(error['loc'])}: {_reason(error['type'], error['msg'])}"
            for error in invalid.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "; ".join(problems[:10])) from None


def _path(loc: tuple[int | str, ...]) -> str:
    # An unknown field's name is the caller's text: repeat it only if it looks like one. A number is a place.
    return ".".join(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "…" for part in loc) or "data"


def _reason(kind: str, message: str) -> str:
    known = {"missing": "is required", "extra_forbidden": "is not a field of this request"}
    return known.get(kind, message.removeprefix("Value error, "))


def caller_of(claims: dict[str, Any], id_token: str, now: datetime) -> Caller | None:
    """The caller whose ID token holds these verified claims; None if it has expired or is odd.

    The emulators' tokens are unsigned, and the SDK looks neither at their dates nor at their types.
    """
    expires: Any = claims.get("exp")
    signed_in_at: Any = claims.get("auth_time")
    dated = isinstance(expires, int) and isinstance(signed_in_at, int) and 0 <= signed_in_at < expires < _YEAR_10000
    if not dated or not expires > now.timestamp() or not is_account_id(uid := str(claims.get("uid"))):
        return None
    return Caller(uid, datetime.fromtimestamp(signed_in_at, UTC), id_token)


def _caller(request: https_fn.CallableRequest[Any], clock: Clock) -> Caller | None:
    if request.auth is None or request.auth.uid is None:
        return None
    token = request.raw_request.headers.get("Authorization", "").removeprefix("Bearer ")
    caller = caller_of({**request.auth.token, "uid": request.auth.uid}, token, clock())
    if caller is None:
        raise HttpsError(FunctionsErrorCode.UNAUTHENTICATED, "Your sign-in has expired. Sign in again.")
    return caller
