"""The run folder: what a stack makes at its start and deletes at its end.

None of it may ever be committed or deployed, so nothing is written into a source folder: firebase-tools is pointed at a
folder of links to the real sources, beside which lie the secrets it reads (`.secret.local`).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.paths import ROOT, RUNS, VENV
from local.stack import firebase_json

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of what the functions declare as secrets, those that are keys: 32 random bytes each, in base64.
KEYS = ("ASTRA_PSEUDONYM_KEY", "ASTRA_LOCAL_KMS_KEY", "ASTRA_CERTIFICATE_KEY", "ASTRA_LOG_KEY")


class Source(NamedTuple):
    """The folder of a codebase, and the environment that it runs in."""

    folder: Path
    venv: Path


def checkout() -> dict[str, Source]:
    """Return each codebase as it lies in the repository, in the developer's environment."""
    return {name: Source(ROOT / folder, VENV) for name, folder in firebase_json.codebases().items()}


@dataclass(frozen=True)
class RunFolder:
    """The folder of one running stack."""

    path: Path
    secrets: dict[str, str]

    @property
    def config(self) -> Path:
        """The firebase.json of this run."""
        return self.path / "project" / "firebase.json"

    @property
    def service_account(self) -> Path:
        """The throw-away credentials that the Admin SDK insists on, even against emulators."""
        return self.path / "service-account.json"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the emulators: the Storage emulator keeps its blobs below it."""
        return self.path / "tmp"

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the settings down for firebase-tools, which asks for those of parameters and gives all to functions."""
        lines = "".join(f"{name}='{value}'\n" for name, value in settings.items())
        for place in firebase_json.settings_folders():
            (self.config.parent / place).mkdir(exist_ok=True)
            (self.config.parent / place / ".env.local").write_text(lines, encoding="utf-8")


def make(project: str, offset: int, services: Mapping[str, str], sources: Mapping[str, Source]) -> RunFolder:
    """Make the folder for a stack whose ports are firebase.json's plus `offset`; clears those of dead stacks.

    `services` are secrets too: what opens the stack's other services to the functions. `sources` are the codebases.
    """
    RUNS.mkdir(parents=True, exist_ok=True)
    RUNS.chmod(0o700)
    for old in RUNS.iterdir():
        owner = old.name.partition("-")[0]
        if not (owner.isdigit() and psutil.pid_exists(int(owner))):
            shutil.rmtree(old, ignore_errors=True)
    folder = RunFolder(
        Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=RUNS)),
        {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in KEYS} | dict(services),
    )
    folder.temporary.mkdir()
    _write_private(folder.service_account, json.dumps(_service_account(project)))
    _link_project(folder, offset, sources)
    return folder


def _link_project(folder: RunFolder, offset: int, sources: Mapping[str, Source]) -> None:
    project = folder.config.parent
    project.mkdir()
    config = firebase_json.read()
    for emulator in config["emulators"].values():
        for port in ("port", "websocketPort"):
            if isinstance(emulator, dict) and port in emulator:
                emulator[port] += offset
    folder.config.write_text(json.dumps(config, indent=2))
    for name in (config["firestore"]["rules"], config["firestore"]["indexes"], config["storage"]["rules"]):
        (project / name).symlink_to(ROOT / name)
    for name, path in firebase_json.codebases().items():
        codebase = project / path
        codebase.mkdir(parents=True)
        for entry in sources[name].folder.iterdir():
            if entry.name not in ("venv", "__pycache__") and not entry.name.startswith("."):
                (codebase / entry.name).symlink_to(entry)
        (codebase / "venv").symlink_to(sources[name].venv)
        if not (codebase / "requirements.txt").exists():  # made at deployment; firebase-tools knows Python by it
            (codebase / "requirements.txt").touch()
        _write_private(codebase / ".secret.local", "".join(f"{n}={v}\n" for n, v in folder.secrets.items()))


def _service_account(project: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode(),
        "client_email": f"local@{project}.iam.gserviceaccount.com",
        "client_id": "0",
        "token_uri": "http://127.0.0.1:9/never-asked",  # emulators take any token; a call here would be a mistake
    }


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
