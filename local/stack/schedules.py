"""Schedules: fires scheduled functions, which the emulators do not."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from datetime import datetime

#: Seconds a schedule may run before its client gives up on it.
PATIENCE = 60.0


class ScheduleError(Exception):
    """A schedule could not be fired, or failed."""


class Schedules:
    """The scheduled functions of a running functions emulator. One schedule never overlaps with itself."""

    def __init__(self, functions_url: str, project: str, region: str) -> None:
        self._client = httpx.Client(trust_env=False, timeout=PATIENCE)  # no proxy stands before loopback
        self._functions = functions_url
        self._prefix = f"{functions_url}/{project}/{region}"
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        #: Every schedule that the timer has fired, and what went wrong the last time it failed.
        self.fired: set[str] = set()
        self.failures: dict[str, str] = {}

    def names(self) -> list[str]:
        """All scheduled functions that are loaded. Raises httpx.HTTPError when there is no functions emulator."""
        backends = self._client.get(f"{self._functions}/backends").raise_for_status().json()["backends"]
        return sorted(t["name"] for backend in backends for t in backend["functionTriggers"] if t.get("schedule"))

    def fire(self, name: str, at: datetime | None = None) -> None:
        """Run one schedule to its end, after any run of it that is under way; `at`, as if it had been due then.

        Raises:
            ScheduleError: there is none of that name, it failed, or it took longer than PATIENCE.
        """
        with self._turns[name]:
            try:
                due = {"X-CloudScheduler-ScheduleTime": at.isoformat()} if at else {}
                answer = self._client.post(f"{self._prefix}/{name}-0", json={}, headers=due)
            except httpx.HTTPError as failure:
                raise ScheduleError(f"schedule {name}: {failure or type(failure).__name__}") from failure
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ScheduleError(f"no schedule is named {name}; there are: {', '.join(self.names()) or 'none'}")
        if answer.is_error:
            raise ScheduleError(f"schedule {name} failed with HTTP {answer.status_code}; the functions' log says why")

    def start_timer(self, seconds: float) -> None:
        """Fire each schedule every so many seconds, each in a thread of its own so that none waits for another."""
        for name in self.names():
            thread = threading.Thread(target=self._repeat, args=(name, seconds), name=f"schedule {name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop_timer(self) -> None:
        """Fire no more; a run under way is left to end, or to be cut short with the emulator."""
        self._stopping.set()

    def close(self) -> None:
        """Let go of the connections, once the emulator has stopped."""
        for thread in self._threads:
            thread.join(timeout=PATIENCE)
        self._client.close()

    def _repeat(self, name: str, seconds: float) -> None:
        # A function's first run starts a process. The emulator may give one port to two that start at once, and then
        # one answers for the other: so each has a turn.
        turn: AbstractContextManager[object] = self._starting
        while not self._stopping.wait(seconds):
            try:
                with turn:
                    self.fire(name)
                turn = nullcontext()
            except ScheduleError as failure:
                self.failures[name] = str(failure)
            self.fired.add(name)
