"""Paths of the repository. Standard library only: set-up runs before the environment exists."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"
FIREBASE = NODE_MODULES / ".bin" / "firebase"
FIREBASE_JSON = ROOT / "firebase.json"

#: Everything set-up and the stack make outside the two package folders; never committed, safe to delete.
LOCAL = ROOT / ".local"
LOGS = LOCAL / "logs"
RUNS = LOCAL / "run"
MAIL = LOCAL / "mail"
EMULATORS = LOCAL / "emulators"
ARCHIVES = LOCAL / "archives"
TOOLCHAIN = LOCAL / "toolchain.json"


def shown(path: Path) -> str:
    """`path` as a person at the repository root would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
