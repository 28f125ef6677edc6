"""However a stack ends, nothing of it stays: no process, no port, no secret."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from local.stack import ports
from tests.local.support import Up, eventually, killed_at_last

if TYPE_CHECKING:
    from pathlib import Path


def assert_nothing_stays(up: Up, processes: list[psutil.Process]) -> None:
    eventually(lambda: not psutil.wait_procs(processes, timeout=0)[1], f"these end: {processes}")
    eventually(lambda: not up.folders(), "its secrets, credentials and blobs are deleted")
    assert ports.first_busy(ports.needed(("firestore",), up.OFFSET)) is None


@pytest.mark.parametrize(
    ("ending", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_stops_everything(up: Up, ending: signal.Signals, code: int) -> None:
    processes = up.wait_until_ready()
    names = {process.name() for process in processes}
    assert {"java", "redis-server"} <= names, "there was something to stop"
    secrets = [secret for folder in up.folders() for secret in folder.rglob(".secret.local")]
    assert secrets, "there were secrets to delete"
    secrets += [folder / "up.json" for folder in up.folders()]
    assert {secret.stat().st_mode & 0o777 for secret in secrets} == {0o600}
    listed = [sys.executable, "-m", "cli", "transfers", "status", "--local"]
    found = subprocess.run(listed, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (found.returncode, found.stderr) == (0, "")

    up.process.send_signal(ending)

    assert up.process.wait(timeout=60) == code
    assert_nothing_stays(up, processes)


def test_a_dead_emulator_ends_it_with_one_line(up: Up) -> None:
    processes = up.wait_until_ready()
    said_before = up.said()
    next(process for process in processes if process.name() == "java").kill()

    assert up.process.wait(timeout=60) == 1
    last_words = up.said().removeprefix(said_before).strip()
    assert last_words.startswith("local stack: the Firestore emulator stopped")
    assert "\n" not in last_words
    assert_nothing_stays(up, processes)


@pytest.mark.stack
def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path) -> None:
    port = ports.needed(("firestore",), Up.OFFSET)["firestore"]
    with socket.create_server(("127.0.0.1", port)), killed_at_last(Up(tmp_path / "up.txt")) as up:
        assert up.process.wait(timeout=60) == 1
        said = up.said().strip()
        assert said.startswith(f"local stack: port {port} (firestore) is in use by pid {psutil.Process().pid} (")
        assert "\n" not in said
        assert not up.folders()
