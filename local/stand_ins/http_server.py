"""HTTP server for stand-ins: checks the token, counts requests, fails on demand."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from werkzeug.routing import Map
    from werkzeug.serving import BaseWSGIServer


@dataclass
class Fault:
    """Something wrong with the next `times` requests whose path begins with `prefix`.

    The answer comes `hang` seconds late. With a `status` it is that, and nothing is done; without one, what was asked
    is done before the wait, so that a client that gave up has caused what it does not know of.
    """

    prefix: str
    status: int | None = None
    retry_after: int | None = None
    hang: float = 0.0
    times: int = 1


class Problem(Exception):
    """An answer other than success, in the shape of RFC 9457."""

    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.response = answer({"title": title, "detail": detail, "status": status}, status, headers)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(body), status, headers, content_type="application/json")


class HttpStandIn:
    """What every request passes before one of `routes`, a method of the subclass, does what it asks."""

    #: Paths below this are asked without a token.
    PUBLIC = "/delivery/"

    def __init__(self, port: int, routes: Map) -> None:
        """`port` 0 takes any free one."""
        self.token = f"r8_{secrets.token_hex(19)[:37]}"
        #: The first that matches a request is taken; append to it, or clear it, at any time.
        self.faults: list[Fault] = []
        #: How often each was asked, by method and path: `calls["POST /v1/files"]`. Those that went wrong count too.
        self.calls: Counter[str] = Counter()
        self._port, self._routes = port, routes
        #: Held while a request is served: no two change anything at once.
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._server: BaseWSGIServer | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Begin to listen. Raises OSError when the port is taken."""
        self._closing.clear()
        # Handed an open socket, because for a port that is taken werkzeug would end the process.
        with socket.create_server(("127.0.0.1", self._port)) as listener:
            self._server = make_server(
                "127.0.0.1", self._port, self._serve, threaded=True, request_handler=_Handler, fd=listener.fileno()
            )
        self._port = self._server.port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name=type(self).__name__, daemon=True).start()

    def stop(self) -> None:
        """Stop listening, if it ever began, and let go of requests that hang; what it holds stays."""
        self._closing.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_how: object) -> None:
        self.stop()

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            with Request(environ) as request:  # which closes the files that were sent
                response = self._respond(request)
        except Problem as problem:
            response = problem.response
        except HTTPException as refused:  # werkzeug's own: no such route or method, a body that is not JSON
            response = Problem(refused.code or 500, refused.name, refused.description or "").response
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        with self._lock:
            self.calls[f"{request.method} {request.path}"] += 1
            fault = next((fault for fault in self.faults if request.path.startswith(fault.prefix)), None)
            if fault:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
        if fault and fault.status:
            self._closing.wait(fault.hang)
            raise _trouble(fault.status, fault.retry_after)
        if not request.path.startswith(self.PUBLIC):
            self._check_token(request.headers.get("Authorization"))
        request.get_data(parse_form_data=True)  # all of it, before the lock keeps others waiting
        endpoint, arguments = self._routes.bind_to_environ(request.environ).match()
        with self._lock:
            response: Response = getattr(self, endpoint)(request, **arguments)
        if fault:
            self._closing.wait(fault.hang)
        return response

    def _check_token(self, authorization: str | None) -> None:
        if not authorization:
            raise Problem(401, "Unauthenticated", "You did not pass an authentication token")
        if not hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode()):
            raise Problem(401, "Unauthenticated", "You did not pass a valid authentication token")


def _trouble(status: int, retry_after: int | None) -> Problem:
    title = HTTPStatus(status).phrase
    if retry_after is None:
        return Problem(status, title, "This fault was asked for.")
    detail = f"Request was throttled. Expected available in {retry_after} seconds."
    return Problem(status, title, detail, {"Retry-After": str(retry_after)})


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: `calls` has it, and the terminal is for people."""
