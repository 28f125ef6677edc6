"""Readiness: when the stack is up, and why it will not be."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil  # type: ignore[import-untyped]

from local.paths import shown
from local.stack import firebase_json
from local.stack.ports import WITNESS_BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = "All emulators ready!"
#: firebase-tools carries on without a codebase that does not load; a stack must not.
LOAD_FAILURE = "Failed to load function definition from source"
EMULATOR_PROGRAMS = {"firestore": "Firestore", "pubsub": "Pub/Sub", "storage": "Storage rules"}


def load_failure(log: Path, environment: Mapping[str, str]) -> str | None:
    """One line about a functions codebase that firebase-tools could not load, or None."""
    told, found, why = log.read_text(errors="replace").partition(LOAD_FAILURE)
    if not found:
        return None
    folder = Path(re.findall(r'Watching "([^"]+)" for Cloud Functions', told)[-1])
    # firebase-tools does not pass on what Python said, so Python is asked again.
    again = subprocess.run(
        [sys.executable, "-c", "import main"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    reason = again.stderr.strip().rpartition("\n")[2] if again.returncode else why.lstrip(": ").partition("\n")[0]
    return f"{folder.parent.name}/{folder.name} does not load: {reason[:300]} (log: {shown(log)})"


def last_words(log: Path) -> str:
    """The last error in a log, or else its last line, and where the log is."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "⚠" in line]
    return f"{(errors or lines or ['no output'])[-1][:300]} (log: {shown(log)})"


def is_started(log: Path) -> bool:
    """Whether firebase-tools says that it has started all it is going to start."""
    return READY in log.read_text(errors="replace")


def missing(hub: str, emulators: tuple[str, ...], functions: str) -> list[str]:
    """What has not started although firebase-tools says it is ready: emulators, and codebases without a function.

    firebase-tools carries on without an emulator that fails. Raises httpx.HTTPError when it does not answer.
    """
    with httpx.Client(trust_env=False, timeout=10) as client:  # no proxy stands before loopback
        listed = client.get(f"{hub}/emulators").raise_for_status().json()
        absent = [f"the {name} emulator" for name in emulators if name not in listed]
        if "functions" in listed:
            backends = client.get(f"{functions}/backends").raise_for_status().json()["backends"]
            loaded = {trigger["codebase"] for backend in backends for trigger in backend["functionTriggers"]}
            absent += [f"codebase {name}" for name in firebase_json.codebases() if name not in loaded]
    return absent


def redis_is_up(port: int) -> bool:
    """Whether Redis answers PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def witness_is_up(url: str) -> bool:
    """Whether the witness has its bucket."""
    try:
        with httpx.Client(trust_env=False, timeout=10) as client:
            return client.get(f"{url}/{WITNESS_BUCKET}?object-lock").is_success
    except httpx.HTTPError:
        return False


def emulator_programs(firebase: psutil.Process) -> dict[psutil.Process, str]:
    """The Java processes that firebase-tools runs, each with its emulator's name.

    firebase-tools only warns when one of them is killed, and then fails each request; someone else must watch them.
    """
    programs = {}
    for process in firebase.children():
        jar = next((word for word in process.cmdline() if word.endswith(".jar")), "").rpartition("/")[2]
        name = next((shown_name for key, shown_name in EMULATOR_PROGRAMS.items() if key in jar), None)
        if name:
            programs[process] = name
    return programs
