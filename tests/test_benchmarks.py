"""A benchmark that hangs or raises costs nothing but itself."""

import contextlib
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from bench import apart

_WORKS = "print('bench works: 1 s')"
_RAISES = "raise RuntimeError('no such thing')"
_HANGS = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, file=open(sys.argv[1], 'w'), flush=True)\n"
    "try: time.sleep(600)\n"
    "finally: print('bench hangs: its stack is stopped', flush=True)"
)
_IGNORES = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"


def test_the_other_benchmarks_run_after_one_that_hangs_and_one_that_raises(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noted = tmp_path / "pid"
    codes = {"hangs": _HANGS, "ignores": _IGNORES, "raises": _RAISES, "works": _WORKS}
    commands = {name: [sys.executable, "-c", code, str(noted)] for name, code in codes.items()}
    assert apart.run_all(commands, timeout=6, grace=6) == 1
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "bench hangs: its stack is stopped",
        "bench hangs: failed: did not end within 6 s",
        "bench ignores: failed: did not end within 6 s",
        "bench raises: failed: exit code 1: RuntimeError: no such thing",
        "bench works: 1 s",
        "bench: 3 of 4 failed: hangs, ignores, raises",
    ]
    assert "Traceback" in said.err
    # A benchmark's own children end with it. One may be gone already, or wait to be reaped.
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(noted.read_text()))
        deadline = time.monotonic() + 60
        while child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "its child is still there"


def test_benchmarks_that_all_end_are_a_success(capfd: pytest.CaptureFixture[str]) -> None:
    assert apart.run_all({"works": [sys.executable, "-c", _WORKS]}, timeout=60) == 0
    assert capfd.readouterr().out == "bench works: 1 s\n"
