"""The emulators' programs: found or downloaded. Standard library only.

Each comes from the first of: firebase-tools' own cache; firebase-tools' download; the Google Cloud SDK's copy.
"""

from __future__ import annotations

import json
import os
import urllib.request
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from local.paths import FIREBASE, LOCAL, NODE_MODULES
from local.stack import cloud_sdk
from local.stack.progress import SetupError
from local.stack.toolchain import Binary

if TYPE_CHECKING:
    from local.stack.progress import Steps
    from local.stack.toolchain import Java

NAMES = ("firestore", "pubsub", "storage")
RULES_ENGINE = cloud_sdk.RULES_ENGINE
#: Seconds to wait for the download server before using the Cloud SDK's copies instead.
DOWNLOAD_PATIENCE = 5


def prepare(name: str, java: Java, steps: Steps) -> Binary:
    """Make one emulator's program ready and say where it comes from.

    Raises:
        SetupError: there is none in the cache, none can be downloaded, and the Cloud SDK has none.
    """
    cached = in_cache(name)
    if cached is None and can_download():
        try:
            steps.run(
                [FIREBASE, f"setup:emulators:{name}"],
                f"setup-{name}",
                "the download failed",
                {"FIREBASE_EMULATORS_PATH": str(cache_folder()), "XDG_CONFIG_HOME": str(LOCAL / "config")},
            )
        except SetupError as failure:
            steps.note(f"{name}: {failure}; trying the Google Cloud SDK's copy")
        cached = in_cache(name)
        source = "downloaded by firebase-tools"
    else:
        source = "firebase-tools' cache"
    if cached is not None:
        binary = Binary(name, source, str(cached), needs_naming=False)
    else:
        binary = Binary(name, "Google Cloud SDK", str(cloud_sdk.program(name, java)), needs_naming=True)
    steps.note(f"{name}: {binary.source}")
    return binary


def cache_folder() -> Path:
    """Where firebase-tools keeps what it downloads; inside the clone where the home folder can't be written."""
    chosen = os.environ.get("FIREBASE_EMULATORS_PATH")
    if chosen:
        return Path(chosen)
    home = Path.home()
    return (home / ".cache/firebase/emulators") if os.access(home, os.W_OK) else LOCAL / "emulators-cache"


def in_cache(name: str) -> Path | None:
    """The program in firebase-tools' cache, unless it is absent or its download was cut short."""
    details = _details()[name]
    download = cache_folder() / str(details["downloadPathRelativeToCacheDir"])
    program = cache_folder() / str(details.get("binaryPathRelativeToCacheDir", download.name))
    if not program.exists() or not download.exists() or download.stat().st_size != details["expectedSize"]:
        return None
    return program


@cache
def can_download() -> bool:
    """Whether the server that firebase-tools downloads from answers; asked once, of the first program's address."""
    request = urllib.request.Request(_details()[NAMES[0]]["remoteUrl"], method="HEAD")  # noqa: S310 - always https
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_PATIENCE):  # noqa: S310
            return True
    except OSError:  # URLError, time-outs and refused connections alike
        return False


@cache
def _details() -> dict[str, Any]:
    path = NODE_MODULES / "firebase-tools/lib/emulator/downloadableEmulatorInfo.json"
    return cast("dict[str, Any]", json.loads(path.read_text()))
