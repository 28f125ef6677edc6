"""Run of several benchmarks: each in a process group of its own, until it ends or its time is up."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress

from local.paths import ROOT
from local.stack.supervised import STOP_DEADLINE

#: Seconds an interrupted benchmark has to stop its stack before it is killed.
GRACE = STOP_DEADLINE + 20


def run_all(commands: Mapping[str, Sequence[str]], timeout: float, grace: float = GRACE) -> int:
    """Run each command to its end or for `timeout` seconds, whatever becomes of the others.

    Print which failed and why. Return the exit code: 1 if any failed.
    """
    failed = []
    for name, command in commands.items():
        if reason := _failure(command, timeout, grace):
            failed.append(name)
            print(f"bench {name}: failed: {reason}", flush=True)
    if failed:
        print(f"bench: {len(failed)} of {len(commands)} failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def _failure(command: Sequence[str], timeout: float, grace: float) -> str | None:
    """Return why a command failed, or None. Its standard error is shown when it ends; no process of it is left."""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, cwd=ROOT, stderr=errors, start_new_session=True) as process:
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
                process.send_signal(signal.SIGINT)  # a stack ends with its `with`
                with suppress(subprocess.TimeoutExpired):
                    process.wait(grace)
            finally:
                with suppress(ProcessLookupError):  # nothing is left
                    os.killpg(process.pid, signal.SIGKILL)
        errors.seek(0)
        said = errors.read()
    sys.stderr.write(said)
    if code is None:
        return f"did not end within {timeout:.0f} s"
    last = said.strip().rpartition("\n")[2]
    return f"exit code {code}: {last}" if code else None
