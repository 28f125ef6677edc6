"""What each codebase tells the deploy tool of its functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import yaml

from local import firebase_json
from local.paths import ROOT

PROJECT = "demo-astra"
_CODE = "from firebase_functions.private.serving import *; print(functions_as_yaml(get_functions()))"


@cache
def manifest(codebase: str) -> dict[str, Any]:
    """The functions.yaml of a codebase: `endpoints` by name, and `params`, as firebase-tools reads it."""
    config = {"projectId": PROJECT, "storageBucket": f"{PROJECT}.firebasestorage.app"}
    environment = {"PATH": os.environ["PATH"], "ADMIN_PORT": "0", "FIREBASE_CONFIG": json.dumps(config)}
    listed = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _CODE],
        cwd=ROOT / firebase_json.codebases()[codebase],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    found = yaml.safe_load(listed.stdout)
    assert isinstance(found, dict)
    return found


def endpoints() -> dict[str, dict[str, Any]]:
    """Every function of every codebase, by its name."""
    return {
        name: found for codebase in firebase_json.codebases() for name, found in manifest(codebase)["endpoints"].items()
    }
