"""The keeper: runs the stack's processes, and ends them when its parent is gone.

Argument for safety: every way in which a stack can end (a normal stop, an exception, Ctrl-C, SIGTERM, and SIGKILL of
the process that uses it) closes the pipe on this process's standard input, and the end of that pipe is what makes it
stop everything. It sits in a session of its own, so no terminal signal reaches it. firebase-tools starts its Java
emulators detached, in process groups of their own, so no signal to a group finds them all; as a subreaper (Linux)
this process inherits every orphan, and all that was ever started is found among its descendants.

Protocol: one JSON line in, `{"commands": [...], "remove": [paths]}`; JSON lines out, `{"started": name, "pid": n}` and
`{"exited": name, "code": n}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
#: Seconds: between looks at the children; for firebase-tools to end by itself; for the rest to obey SIGTERM.
POLL, POLITE, FIRM = 0.25, 10.0, 3.0


def main() -> None:
    """Start what the first line asks for, keep watch until standard input ends, then stop all of it."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    plan = json.loads(sys.stdin.readline())
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for command in plan["commands"]:
            children[command["name"]] = _start(command)
        _watch(children)
    finally:
        _stop_all(children)
        for path in plan["remove"]:
            shutil.rmtree(path, ignore_errors=True)


def _start(command: dict[str, Any]) -> subprocess.Popen[bytes]:
    with Path(command["log"]).open("wb") as log:
        process = subprocess.Popen(
            command["argv"],
            cwd=command["cwd"],
            env=command["env"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _tell({"started": command["name"], "pid": process.pid})
    return process


def _watch(children: dict[str, subprocess.Popen[bytes]]) -> None:
    told: set[str] = set()
    while not select.select([sys.stdin], [], [], POLL)[0]:
        for name, process in children.items():
            if name not in told and process.poll() is not None:
                told.add(name)
                _tell({"exited": name, "code": process.returncode})
        _bury_orphans(children)


def _bury_orphans(children: dict[str, subprocess.Popen[bytes]]) -> None:
    ours = {process.pid for process in children.values()}
    for orphan in psutil.Process().children():
        if orphan.pid not in ours:
            with suppress(ChildProcessError, psutil.Error):
                if orphan.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(orphan.pid, os.WNOHANG)


def _stop_all(children: dict[str, subprocess.Popen[bytes]]) -> None:
    # Listed before the first signal: without a subreaper (macOS) an orphan is no longer anybody's descendant.
    known = set(psutil.Process().children(recursive=True))
    for process in children.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    psutil.wait_procs([psutil.Process(p.pid) for p in children.values() if p.poll() is None], timeout=POLITE)
    known |= set(psutil.Process().children(recursive=True))
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        for process in known:
            with suppress(psutil.Error):
                stop(process)
        _, alive = psutil.wait_procs(known, timeout=FIRM)
        known = set(alive) | set(psutil.Process().children(recursive=True))
        _bury_orphans({})
        if not known:
            break


def _tell(event: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # whoever listened is gone; standard input will end too
        print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main()
