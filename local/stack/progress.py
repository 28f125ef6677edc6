"""Numbered steps with durations, and a sign of life while a long one runs. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.paths import LOGS, ROOT, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

#: Seconds between signs of life where the output is not a terminal (a CI log, a file).
HEARTBEAT = 15.0


class SetupError(Exception):
    """What is wrong and what to do about it, in one line."""


class Steps:
    """Prints `[2/5] title: done in 12.3 s` for each step, and rewrites the line each second on a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self._label = ""
        self._started = 0.0
        self._beat = 0.0
        self._tty = sys.stdout.isatty()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Count and time what runs inside; a failure's own message says it all, so nothing is printed for it."""
        self._number += 1
        self._label = f"[{self._number}/{self._total}] {title}"
        self._started = self._beat = time.monotonic()
        self._write(f"{self._label} ...", ends_line=not self._tty)
        try:
            yield
        except BaseException:
            self._write(f"{self._label}: failed after {self._elapsed():.1f} s")
            raise
        self._write(f"{self._label}: done in {self._elapsed():.1f} s")

    def note(self, text: str) -> None:
        """A line of detail below the current step."""
        self._write(f"      {text}")

    def pulse(self, doing: str = "") -> None:
        """Show that the step is alive; call about once a second."""
        if self._tty:
            self._write(f"{self._label} ... {self._elapsed():.0f} s {doing}".rstrip(), ends_line=False)
        elif time.monotonic() - self._beat >= HEARTBEAT:
            self._beat = time.monotonic()
            self._write(f"{self._label} ... {self._elapsed():.0f} s {doing}".rstrip())

    def run(
        self,
        command: Sequence[str | Path],
        log_name: str,
        hint: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        """Run `command` with its output in `.local/logs/<log_name>.log`.

        Raises:
            SetupError: it failed; the message carries the log's last telling line, `hint` and the log's path.
        """
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{log_name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                while process.poll() is None:
                    self.pulse(f"(log: {shown(log)})")
                    try:
                        process.wait(timeout=1)
                    except subprocess.TimeoutExpired:
                        continue
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait(timeout=10)
        if process.returncode:
            raise SetupError(f"{_telling_line(log)}; {hint} (log: {shown(log)})")

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _write(self, text: str, *, ends_line: bool = True) -> None:
        clear = "\r\x1b[K" if self._tty else ""
        sys.stdout.write(f"{clear}{text}" + ("\n" if ends_line else ""))
        sys.stdout.flush()


def _telling_line(log: Path) -> str:
    """The last line that speaks of an error, or else the last line with any text."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "A complete log" not in line]
    return (errors or lines or ["it failed without a word"])[-1][:300]
