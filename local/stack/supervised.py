"""The keeper's client: starts it, and hears which process ended."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple

import psutil  # type: ignore[import-untyped]

from local.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Seconds the keeper may take to stop everything: more than all of its own patience together.
STOP_DEADLINE = 40.0


class Command(NamedTuple):
    """A process to run: its output goes to `<name>.log`."""

    name: str
    argv: list[str]
    env: dict[str, str]


class Supervised:
    """Processes that end when this object says so, or when this process does, however it ends."""

    def __init__(
        self, commands: list[Command], log_dir: Path, remove: Path, on_exit: Callable[[str, int], None]
    ) -> None:
        """Start `commands` in `log_dir`; `remove` is deleted after the last has ended.

        `on_exit` is called, from a thread, with the name and exit code of each process that ends by itself; with
        `keeper` and its exit code when nothing is watched any more.
        """
        self.processes: dict[str, psutil.Process] = {}
        self._on_exit, self._remove = on_exit, remove
        with (log_dir / "keeper.log").open("w") as errors:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "local.stack.keeper"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        for command in commands:
            (log_dir / f"{command.name}.log").write_bytes(
                b""
            )  # now, or the last run's lines would be taken for this one's
        plan = [{**c._asdict(), "cwd": str(log_dir), "log": str(log_dir / f"{c.name}.log")} for c in commands]
        with suppress(BrokenPipeError):  # a keeper that died at once is reported by _listen
            self._stdin().write(json.dumps({"commands": plan, "remove": [str(remove)]}) + "\n")
            self._stdin().flush()
        self._listener = threading.Thread(target=self._listen, name="keeper", daemon=True)
        self._listener.start()

    def begin_stop(self) -> None:
        """Have everything stopped, without waiting for it."""
        with suppress(BrokenPipeError):
            self._stdin().close()

    def stop(self) -> None:
        """Have everything stopped; returns when it is. Raises subprocess.TimeoutExpired after STOP_DEADLINE."""
        self.begin_stop()
        self._keeper.wait(timeout=STOP_DEADLINE)
        self._listener.join(timeout=1)
        for process in self.processes.values():  # none, unless somebody killed the keeper
            with suppress(psutil.NoSuchProcess):
                for part in [*process.children(recursive=True), process]:
                    part.kill()
        shutil.rmtree(self._remove, ignore_errors=True)

    def _stdin(self) -> IO[str]:
        assert self._keeper.stdin is not None  # noqa: S101 - asked for above
        return self._keeper.stdin

    def _listen(self) -> None:
        assert self._keeper.stdout is not None  # noqa: S101 - asked for above
        with self._keeper.stdout as events:
            for line in events:
                event = json.loads(line)
                if "started" in event:
                    with suppress(psutil.NoSuchProcess):  # ended already: the next event says so
                        self.processes[event["started"]] = psutil.Process(event["pid"])
                else:
                    self._on_exit(event["exited"], event["code"])
        self._on_exit("keeper", self._keeper.wait())
