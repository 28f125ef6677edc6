"""Manifests: the functions of each codebase, as the deploy tool lists them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from local.paths import ROOT
from local.stack import firebase_json

PROJECT = "demo-astra"
_SERVING = "from firebase_functions.private.serving import *; "
_LIST = "print(functions_as_yaml(get_functions()))"
#: For each function the options of the group that serves it.
_GROUPS = """
import json
from astra.runtime.deployment import SERVED_BY
found = {name: getattr(one, SERVED_BY, None) for name, one in get_functions().items()}
print(json.dumps({name: group and group.options() for name, group in found.items()}))
"""


@cache
def manifest(codebase: str) -> dict[str, Any]:
    """Return `listing` of a codebase in the checkout."""
    return listing(ROOT / firebase_json.codebases()[codebase], Path(sys.executable))


def listing(folder: Path, python: Path) -> dict[str, Any]:
    """Return the functions.yaml of a codebase as firebase-tools reads it: `endpoints` by name, and `params`."""
    found: dict[str, Any] = yaml.safe_load(_told(folder, python, _LIST))
    return found


def groups() -> dict[str, dict[str, Any] | None]:
    """Return of every function the account and the secrets of the group that serves it; None if none does."""
    told = (_told(ROOT / folder, Path(sys.executable), _GROUPS) for folder in firebase_json.codebases().values())
    return {name: group for one in told for name, group in json.loads(one).items()}


def _told(folder: Path, python: Path, code: str) -> str:
    config = {"projectId": PROJECT, "storageBucket": f"{PROJECT}.firebasestorage.app"}
    environment = {"PATH": os.environ["PATH"], "ADMIN_PORT": "0", "FIREBASE_CONFIG": json.dumps(config)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}  # nothing but the codebase lies in an archive
    listed = subprocess.run(
        [python, "-c", _SERVING + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if listed.returncode:
        raise SystemExit(f"{folder.name} can't be listed: {listed.stderr[-500:]}")
    return listed.stdout


def endpoints() -> dict[str, dict[str, Any]]:
    """Return every function of every codebase, by its name."""
    return {
        name: found for codebase in firebase_json.codebases() for name, found in manifest(codebase)["endpoints"].items()
    }
