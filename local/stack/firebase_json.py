"""firebase.json, as the local stack reads it. Standard library only."""

from __future__ import annotations

import json
from typing import Any, cast

from local.paths import FIREBASE_JSON


def read() -> dict[str, Any]:
    """The whole file."""
    return cast("dict[str, Any]", json.loads(FIREBASE_JSON.read_text()))


def codebases() -> dict[str, str]:
    """Each functions codebase's name and its folder, relative to the repository's root."""
    return {entry["codebase"]: entry["source"] for entry in read()["functions"]}


def settings_folders() -> set[str]:
    """Return the folders of the codebases' settings files, relative to the repository's root."""
    return {entry["configDir"] for entry in read()["functions"]}


def ports() -> dict[str, int]:
    """The TCP port of each emulator by its name in firebase.json, and `firestore websocket`."""
    emulators = {name: e for name, e in read()["emulators"].items() if isinstance(e, dict) and "port" in e}
    found = {name: int(emulator["port"]) for name, emulator in emulators.items()}
    found["firestore websocket"] = int(emulators["firestore"]["websocketPort"])
    return found
