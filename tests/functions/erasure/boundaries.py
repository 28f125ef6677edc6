"""Every request of this process to a store passes here, and something can be let happen just before or after one."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import redis
import requests
from google.api_core.exceptions import ServiceUnavailable
from google.api_core.retry import retry_unary
from google.cloud.firestore_v1.services.firestore import FirestoreClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

_RPCS = (
    "batch_get_documents",
    "begin_transaction",
    "commit",
    "list_collection_ids",
    "list_documents",
    "rollback",
    "run_query",
)


class Crash(BaseException):
    """What SIGKILL looks like from inside: nothing of ours may catch it."""


@dataclass(frozen=True)
class Mishap:
    """`strike` is called with the store at the first request from the `at`-th to `store` on, before it is sent or
    `after` it was answered. What it raises, whoever asked gets; what it answers, they get in place of the answer.
    """

    at: int
    after: bool
    strike: Callable[[str], Any]
    store: str | None = None
    """firestore, http (Storage and Auth), redis or replicate; None for any."""
    method: str | None = None
    """Of HTTP, or the name of a call to Firestore or of a command of Redis; None for any."""
    times: int = 1
    """At so many requests one after another."""
    outside: bool = False
    """Not within a transaction: the emulator locks what a transaction has read, and whoever waits would wait long."""

    def concerns(self, store: str, method: str) -> bool:
        """Whether it may happen at such a request."""
        return self.store in (None, store) and self.method in (None, method)


def crash(_store: str) -> None:
    """The process dies."""
    raise Crash


def unreachable(store: str) -> None:
    """No answer comes."""
    raise {
        "firestore": ServiceUnavailable("asked for"),
        "http": requests.ConnectionError("asked for"),
        "redis": redis.ConnectionError("asked for"),
        "replicate": httpx.ConnectError("asked for"),
    }[store]


def refused(store: str) -> Any:
    """The answer is an error that no client tries again by itself."""
    if store == "http":
        answer = requests.Response()
        answer.status_code, answer._content, answer.request = 403, b"{}", requests.Request("GET", "/").prepare()
        return answer
    return unreachable(store)


class Boundaries:
    """Counts requests while `armed`, and lets the mishap happen."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._mishap: Mishap | None = None
        self._lock = threading.Lock()
        self._dead = False
        self._open = self._passed = self._struck = 0
        self.calls = 0
        for name in _RPCS:
            self._watch(patch, FirestoreClient, name, "firestore")
        self._watch(patch, requests.Session, "send", "http")
        self._watch(patch, httpx.Client, "send", "replicate")
        self._watch(patch, redis.Redis, "execute_command", "redis")
        # The clients wait before they try again: nothing is learnt from that time.
        hurried = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: time.sleep(min(seconds, 0.01)))
        patch.setattr(retry_unary, "time", hurried)

    @contextmanager
    def armed(self, mishap: Mishap | None) -> Iterator[None]:
        """While this lasts, `mishap` happens once, if so many requests are made. What a dead process still raises, and
        a failure that was asked for, nobody hears of.
        """
        before = (self._mishap, self.calls, self._dead, self._open, self._passed, self._struck)
        self._mishap, self.calls, self._dead, self._open = mishap, 0, False, 0
        self._passed = self._struck = 0
        try:
            yield
        except BaseException as error:
            if isinstance(error, AssertionError) or not (self._dead or (self._struck and isinstance(error, Exception))):
                raise
        finally:
            self._mishap, self.calls, self._dead, self._open, self._passed, self._struck = before

    def _watch(self, patch: pytest.MonkeyPatch, owner: Any, name: str, store: str) -> None:
        real = getattr(owner, name)

        def call(client: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.current_thread().name.startswith("schedule "):
                return real(client, *args, **kwargs)  # the stack's own timer
            return self._pass(store, _method(name, args), lambda: real(client, *args, **kwargs))

        patch.setattr(owner, name, call)

    def _pass(self, store: str, method: str, send: Callable[[], Any]) -> Any:
        # A server ends the transactions of a dead client by itself, a minute later; we don't wait for that.
        if method == "rollback":
            with self._lock:
                self._open -= 1
            return send()
        if self._dead:
            raise Crash
        with self._lock:
            self.calls += 1
            if self._mishap and self._mishap.concerns(store, method):
                self._passed += 1
        if (mishap := self._due(store, method, after=False)) and (answer := self._strike(mishap, store)) is not None:
            return answer
        answer = send()
        with self._lock:
            self._open += {"begin_transaction": 1, "commit": -1}.get(method, 0)
            self._open = max(self._open, 0)  # a batch commits without having begun
        # Nobody would roll back the transaction whose name got lost.
        if method != "begin_transaction" and (mishap := self._due(store, method, after=True)):
            changed = self._strike(mishap, store)
            return answer if changed is None else changed
        return answer

    def _due(self, store: str, method: str, *, after: bool) -> Mishap | None:
        with self._lock:
            mishap = self._mishap
            if mishap is None or mishap.after is not after or self._passed < mishap.at:
                return None
            if not mishap.concerns(store, method) or (mishap.outside and self._open):
                return None
            self._struck += 1
            if self._struck == mishap.times:
                self._mishap = None
            return mishap

    def _strike(self, mishap: Mishap, store: str) -> Any:
        try:
            return mishap.strike(store)
        except Crash:
            self._dead = True
            raise


def _method(name: str, args: tuple[Any, ...]) -> str:
    """A call's own name, or what it asks for: HTTP's method, Redis's command."""
    if name == "execute_command":
        return str(args[0])
    return str(args[0].method) if name == "send" else name
