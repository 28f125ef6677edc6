"""A stack in a process of its own, watched from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from local.paths import ROOT, RUNS
from tests.support.offsets import UP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def eventually(holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Poll until `holds()` is true; fail with `what` when it is not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


class Up:
    """`python -m local up` with the Firestore emulator only, on ports of its own."""

    OFFSET = UP

    def __init__(self, output: Path) -> None:
        self.output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "local", "up", "--only", "firestore", "--offset", str(self.OFFSET)],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> list[psutil.Process]:
        """Everything it runs, itself excluded, once it says it is ready."""
        eventually(lambda: "Ctrl-C stops" in self.said() or self.process.poll() is not None, "up is ready", 150)
        assert self.process.poll() is None, self.said()
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def said(self) -> str:
        return self.output.read_text()

    def folders(self) -> list[Path]:
        """What its run made for itself, and has not deleted yet."""
        return list(RUNS.glob(f"{self.process.pid}-*"))


@contextmanager
def killed_at_last(up: Up) -> Iterator[Up]:
    """Whatever a test finds, nothing stays."""
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()
