"""The Google Cloud SDK's copies of the emulators, where downloads are blocked.

Standard library only. firebase-tools starts a jar with `java -jar` and changes its mode first; the SDK's Firestore jar
names no main class, and the SDK may belong to root. So each program here is a small launcher of our own, in `.local`,
that points at the SDK's file. The Firestore jar also holds the rules engine; java/StorageRules.java speaks for it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from local.paths import EMULATORS, LOCAL
from local.stack.progress import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack.toolchain import Java

RULES_ENGINE = Path(__file__).resolve().parent / "java" / "StorageRules.java"
FIRESTORE_JAR = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
FIRESTORE_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
PUBSUB = Path("platform/pubsub-emulator/bin/cloud-pubsub-emulator")
USUAL_PLACES = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/usr/local/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
    "/opt/homebrew/share/google-cloud-sdk",
    "~/google-cloud-sdk",
)
#: Bytes of a manifest line before it must be continued on the next (JAR File Specification).
MANIFEST_LINE = 70


def program(name: str, java: Java) -> Path:
    """A launcher for the SDK's `firestore` or `pubsub` emulator, or for its rules engine (`storage`).

    Raises:
        SetupError: no Cloud SDK here has it, or, for `storage`, there is no Java compiler.
    """
    EMULATORS.mkdir(parents=True, exist_ok=True)
    if name == "pubsub":
        launcher = EMULATORS / "pubsub"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(str(_find(PUBSUB, "pubsub-emulator")))} "$@"\n')
        launcher.chmod(0o755)
        return launcher
    firestore = _find(FIRESTORE_JAR, "cloud-firestore-emulator")
    if name == "firestore":
        return _jar(EMULATORS / "firestore.jar", FIRESTORE_MAIN, firestore)
    with tempfile.TemporaryDirectory(dir=LOCAL) as classes:
        _compile(Path(classes), firestore, java)
        return _jar(EMULATORS / "storage.jar", RULES_ENGINE.stem, firestore, Path(classes))


def _find(wanted: Path, component: str) -> Path:
    for sdk in _sdks():
        if (sdk / wanted).is_file():
            return sdk / wanted
    raise SetupError(
        "the emulators' download server can't be reached and no Google Cloud SDK here has the "
        f"{component}: connect to the internet, or run `gcloud components install {component}` "
        f"(apt: google-cloud-cli-{component.removeprefix('cloud-')}), then run this again"
    )


def _sdks() -> Iterator[Path]:
    for variable in ("CLOUDSDK_ROOT_DIR", "CLOUDSDK_ROOT"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    gcloud = shutil.which("gcloud")  # `gcloud info` would tell too, after a second or two
    if gcloud:
        yield Path(gcloud).resolve().parent.parent
    yield from (Path(place).expanduser() for place in USUAL_PLACES)


def _compile(target: Path, firestore: Path, java: Java) -> None:
    beside = java.home / "bin" / "javac"
    compiler = str(beside) if beside.exists() else shutil.which("javac")
    if compiler is None:
        raise SetupError("needs javac 17 or newer to build the Storage rules engine: install a JDK, or go online")
    options = ["-proc:none", "-nowarn", "--release", "17", "-cp", str(firestore), "-d", str(target)]
    command = [compiler, *options, str(RULES_ENGINE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
        raise SetupError(f"the Storage rules engine does not compile with {compiler}: {first.strip()[:200]}")


def _jar(target: Path, main: str, class_path: Path, classes: Path | None = None) -> Path:
    draft = target.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w") as jar:
        lines = ("Manifest-Version: 1.0", f"Main-Class: {main}", f"Class-Path: {class_path.as_uri()}")
        jar.writestr("META-INF/MANIFEST.MF", "".join(map(_manifest_line, lines)))
        for compiled in sorted(classes.glob("*.class")) if classes else ():
            jar.write(compiled, compiled.name)
    draft.replace(target)
    return target


def _manifest_line(line: str) -> str:
    folded = line[:MANIFEST_LINE]
    for start in range(MANIFEST_LINE, len(line), MANIFEST_LINE - 1):
        folded += "\r\n " + line[start : start + MANIFEST_LINE - 1]
    return folded + "\r\n"
