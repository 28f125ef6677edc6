"""The stand-in itself: a WSGI application that answers for every Google host, and records what it is asked."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from werkzeug.wrappers import Request, Response

from tests.deployment.cloud import (  # noqa: F401 - each module registers its routes
    accounts,
    artifacts,
    databases,
    functions,
    identity,
    keys,
    logs,
    projects,
    rules,
    run,
    secret_manager,
    storage,
    triggers,
)
from tests.deployment.cloud.service import ROUTES, Ask, Json, Refusal, Route
from tests.deployment.cloud.state import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

#: Asked whether or not the API is enabled in the project.
_ALWAYS_ON: Final = {
    "www.googleapis.com",
    "oauth2.googleapis.com",
    "storage.googleapis.com",
    "www.google-analytics.com",
}


@dataclass(eq=False)
class _Awaited:
    pattern: str
    then: Callable[[], None]
    left: int

    def hear(self, url: str) -> None:
        if re.match(self.pattern, url):
            self.left -= 1
            if self.left == 0:
                self.then()


class Google:
    """WSGI application in front of one `Cloud`. Requests are served one at a time, as if they were atomic."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._lock = threading.Lock()
        #: Every request in order: `METHOD host/path` and the status that it was answered with.
        self.asked: list[tuple[str, int]] = []
        #: Requests that could have changed something, and were not refused.
        self.writes: list[str] = []
        #: What no route answers for, or one stumbles over: a test that leaves something here fails.
        self.unknown: list[str] = []
        #: Refusals, as `METHOD host/path: STATUS: message`.
        self.refusals: list[str] = []
        self._awaited: list[_Awaited] = []

    @contextmanager
    def when_asked(self, pattern: str, then: Callable[[], None], times: int = 1) -> Iterator[None]:
        """Call `then` once, before the request is answered that is the `times`-th to begin as `pattern` says."""
        awaited = _Awaited(pattern, then, times)
        self._awaited.append(awaited)
        try:
            yield
        finally:
            self._awaited.remove(awaited)

    def forget(self) -> None:
        """Begin the record anew; the project stays as it is."""
        for record in (self.asked, self.writes, self.unknown, self.refusals):
            record.clear()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with Request(environ) as request:
            content = request.get_data()
            form = request.form.to_dict()
            host = request.host.split(":")[0].lower()
            ask = Ask(
                request.method,
                host,
                request.path,
                {},
                request.args.to_dict(),
                dict(request.headers),
                content,
                form,
                token=request.headers.get("Authorization", "").removeprefix("Bearer "),
            )
            with self._lock:
                response = self._answer(ask)
        return response(environ, start_response)

    def _answer(self, ask: Ask) -> Response:
        url = f"{ask.method} {ask.host}{ask.path}"
        for awaited in list(self._awaited):
            awaited.hear(url)
        try:
            self.cloud.settle()
            route = self._route(ask)
            answer = self._permitted(route, ask)
            if not route.reads:
                self.writes.append(url)
            response = answer if isinstance(answer, Response) else _json(answer)
        except Refusal as refused:
            if refused.status == "UNIMPLEMENTED":
                self.unknown.append(url)
            self.refusals.append(f"{url}: {refused}")
            response = _json(refused.body, refused.http)
        except Exception as fault:  # noqa: BLE001 - what the stand-in stumbles over must fail a test by name
            self.unknown.append(f"{url}: {fault!r}")
            response = _json({"error": {"code": 500, "message": repr(fault), "status": "INTERNAL"}}, 500)
        self.asked.append((url, response.status_code))
        return response

    def _route(self, ask: Ask) -> Route:
        for route in ROUTES:
            found = route.pattern.fullmatch(ask.host + ask.path) if route.method == ask.method else None
            if found:
                ask.parts = found.groupdict()
                return route
        raise Refusal("UNIMPLEMENTED", f"The rehearsal knows no {ask.method} {ask.host}{ask.path}")

    def _permitted(self, route: Route, ask: Ask) -> Any:
        cloud = self.cloud
        if route.public:
            return route.handler(cloud, ask)
        if ask.token not in cloud.tokens:
            raise Refusal("UNAUTHENTICATED", "Request had invalid authentication credentials.", "ACCESS_TOKEN_INVALID")
        ask.caller = cloud.tokens[ask.token]
        project = ask.parts.get("project")
        if project is not None:
            if project not in (cloud.project, cloud.number):
                raise Refusal("PERMISSION_DENIED", f"Permission denied on project {project} (or it may not exist).")
            ask.parts = {**ask.parts, "project": cloud.project}
        if route.api not in _ALWAYS_ON and route.api not in cloud.apis:
            raise Refusal(
                "PERMISSION_DENIED",
                f"{route.api} has not been used in project {cloud.number} before or it is disabled. Enable it by "
                f"visiting https://console.developers.google.com/apis/api/{route.api}/overview?project={cloud.number}",
                "SERVICE_DISABLED",
                service=route.api,
            )
        if route.permission:
            cloud.require(ask.caller, route.permission)
        return route.handler(cloud, ask)


def _json(body: Json | list[Any] | None, status: int = 200) -> Response:
    return Response(json.dumps(body if body is not None else {}), status, content_type="application/json")
