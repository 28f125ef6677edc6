"""Benchmark: import time and memory of each codebase, beside the bare SDKs.

From the start of the process to the end of its imports; both sides from bytecode, which Cloud Build makes as well."""

import compileall
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

from local.paths import ROOT
from local.stack import firebase_json

_ROUNDS = 5
_FUNCTIONS = (
    "from firebase_functions import https_fn, options; from google.cloud import firestore; import pydantic_settings"
)
_BARE = {
    "signup": f"{_FUNCTIONS}; from firebase_functions import identity_fn, tasks_fn; from firebase_admin import auth,"
    " functions; import redis, smtplib, ssl",
    "uploads": f"{_FUNCTIONS}; from firebase_functions import storage_fn; from firebase_admin import auth;"
    " import redis; from google.cloud import storage; from cryptography import cobblestone; from PIL import Image",
    "usage": f"{_FUNCTIONS}; import redis",
    "erasure": f"{_FUNCTIONS}; from firebase_functions import tasks_fn, scheduler_fn; from firebase_admin import auth,"
    " functions; import redis, rfc8785; from google.cloud import storage",
    "governance": f"{_FUNCTIONS}; from firebase_functions import scheduler_fn; import rfc8785;"
    " from cryptography.hazmat.primitives.asymmetric import ed25519; import redis",
    "retention": f"{_FUNCTIONS}; from firebase_functions import scheduler_fn; from firebase_admin import auth;"
    " import redis, rfc8785",
    "breach": f"{_FUNCTIONS}; from firebase_functions import tasks_fn, scheduler_fn, pubsub_fn;"
    " from firebase_admin import auth, functions; import redis, rfc8785, smtplib, ssl, jinja2",
}


def run() -> Iterator[str]:
    """Two lines a codebase."""
    compileall.compile_dir(ROOT / "shared/astra", quiet=1)
    for codebase, source in firebase_json.codebases().items():
        compileall.compile_dir(ROOT / source, maxlevels=0, quiet=1)
        bare, whole = zip(
            *((_import(source, _BARE[codebase]), _import(source, "import main")) for _ in range(_ROUNDS)), strict=True
        )
        (ours, grown), (theirs, needed) = (map(min, zip(*runs, strict=True)) for runs in (whole, bare))
        yield (
            f"cold-start-{codebase}: {ours * 1000:.0f} ms"
            f" (baseline {theirs * 1000:.0f} ms bare imports, ratio {ours / theirs:.2f})"
        )
        yield (
            f"cold-start-memory-{codebase}: {grown:.0f} MiB"
            f" (baseline {needed:.0f} MiB bare imports, ratio {grown / needed:.2f})"
        )


def _import(source: str, code: str) -> tuple[float, float]:
    """Seconds, and MiB of resident memory at its peak."""
    environment = os.environ | {"ADMIN_PORT": "1", "FIREBASE_CONFIG": '{"storageBucket": "b", "projectId": "p"}'}
    # Not `getrusage`: its peak begins with that of the process which started this one.
    # And not its end, when the interpreter takes down what a function keeps until it is killed.
    told = "print(open('/proc/self/status').read(), flush=True); import os; os._exit(0)"
    command = [sys.executable, "-c", f"{code}; {told}"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT / source, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - began
    peak = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak, "Linux says it"
    return seconds, int(peak[1]) / 1024
