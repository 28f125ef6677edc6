"""How long a codebase takes to import, against the bare imports of the SDKs that it can't do without."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from local import firebase_json
from local.paths import ROOT

_ROUNDS = 5
_FUNCTIONS = (
    "from firebase_functions import https_fn, options; from google.cloud import firestore; import pydantic_settings"
)
_BARE = {
    "signup": f"{_FUNCTIONS}; from firebase_functions import identity_fn",
    "uploads": f"{_FUNCTIONS}; from firebase_functions import storage_fn; from firebase_admin import auth;"
    " import redis; from google.cloud import storage; from cryptography import cobblestone; from PIL import Image",
    "erasure": f"{_FUNCTIONS}; from firebase_functions import tasks_fn, scheduler_fn; from firebase_admin import auth,"
    " functions; import redis, rfc8785; from google.cloud import storage",
}


def run() -> Iterator[str]:
    """One line a codebase."""
    for codebase, source in firebase_json.codebases().items():
        bare, whole = zip(
            *((_import(source, _BARE[codebase]), _import(source, "import main")) for _ in range(_ROUNDS)), strict=True
        )
        yield (
            f"cold-start-{codebase}: {min(whole) * 1000:.0f} ms"
            f" (baseline {min(bare) * 1000:.0f} ms bare imports, ratio {min(whole) / min(bare):.2f})"
        )


def _import(source: str, code: str) -> float:
    environment = os.environ | {"ADMIN_PORT": "1", "FIREBASE_CONFIG": '{"storageBucket": "b", "projectId": "p"}'}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / source, env=environment, check=True)
    return time.perf_counter() - began
