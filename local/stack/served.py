"""Functions served as in production, by functions-framework and gunicorn."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: Seconds a function may take to be imported and listen; between two looks.
START_DEADLINE, STOP_DEADLINE, POLL = 180.0, 10.0, 0.05


class ServedError(Exception):
    """A function does not start; says why."""


@contextmanager
def serving(
    functions: Iterable[tuple[Path, str]], environment: Mapping[str, str], logs: Path
) -> Iterator[dict[str, Served]]:
    """The functions by name, once all listen; stopped at the end. Raises ServedError.

    Args:
        functions: the `main.py` and the name of each.
        environment: what they find the stack by; see `Stack.environment`.
        logs: the folder for all that they print.
    """
    running: dict[str, Served] = {}
    try:
        for source, name in functions:
            command = [sys.executable, "-m", "functions_framework"]
            variables = {**os.environ, **environment, "FUNCTION_TARGET": name, "FUNCTION_SOURCE": str(source)}
            running[name] = Served(name, command, source.parent, variables, logs / f"{name}.log")
        for served in running.values():
            served.wait()
        yield running
    finally:
        for served in running.values():
            served.begin_stop()  # each takes a second to end: all at once
        for served in running.values():
            served.stop()


class Served:
    """One function, which begins to start at once.

    `command` starts functions-framework in `folder`, with exactly `environment` and where to listen.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.name, self.log = name, log
        listening = {**environment, "HOST": "127.0.0.1", "PORT": str(self.port)}
        with log.open("wb") as sink:
            self._process = subprocess.Popen(command, cwd=folder, env=listening, stdout=sink, stderr=sink)

    def wait(self) -> None:
        """Until it listens. Raises ServedError."""
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline and self._process.poll() is None:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(POLL)
        raise ServedError(f"{self.name} does not start: {self.log.read_text(errors='replace')[-500:]}")

    @property
    def pid(self) -> int:
        """The process that was started: gunicorn's arbiter, whose child serves."""
        return self._process.pid

    def begin_stop(self) -> None:
        """Have it end."""
        self._process.terminate()

    def stop(self) -> None:
        """End it, by force if it does not end by itself."""
        self.begin_stop()
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
