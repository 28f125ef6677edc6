"""What each codebase tells the deploy tool of its functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from local import firebase_json
from local.paths import ROOT

PROJECT = "demo-astra"
_CODE = "from firebase_functions.private.serving import *; print(functions_as_yaml(get_functions()))"


@cache
def manifest(codebase: str) -> dict[str, Any]:
    """Return `listing` of a codebase in the checkout."""
    return listing(ROOT / firebase_json.codebases()[codebase], Path(sys.executable))


def listing(folder: Path, python: Path) -> dict[str, Any]:
    """Return the functions.yaml of a codebase as firebase-tools reads it: `endpoints` by name, and `params`."""
    config = {"projectId": PROJECT, "storageBucket": f"{PROJECT}.firebasestorage.app"}
    environment = {"PATH": os.environ["PATH"], "ADMIN_PORT": "0", "FIREBASE_CONFIG": json.dumps(config)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}  # nothing but the codebase lies in an archive
    listed = subprocess.run(
        [python, "-c", _CODE],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if listed.returncode:
        raise SystemExit(f"{folder.name} can't be listed: {listed.stderr[-500:]}")
    found: dict[str, Any] = yaml.safe_load(listed.stdout)
    return found


def endpoints() -> dict[str, dict[str, Any]]:
    """Return every function of every codebase, by its name."""
    return {
        name: found for codebase in firebase_json.codebases() for name, found in manifest(codebase)["endpoints"].items()
    }
