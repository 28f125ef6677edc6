"""Deployment archives: each codebase as it is uploaded, with its own environment.

Invariants:

1. An archive is packed by firebase-tools' own code from a copy of the codebase, after the codebase's own predeploy: the
   checkout never holds a `vendor` folder.
2. An environment holds what its archive's `requirements.txt` names, each file checked by its hash, and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.paths import ARCHIVES, LOCAL, NODE_MODULES, ROOT, VENV
from local.setup import digest, is_stamped
from local.stack import firebase_json
from local.stack.progress import Steps
from local.stack.run_folder import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UV = VENV / "bin" / "uv"
_PACKER = Path(__file__).with_name("pack.cjs")
#: Folders of a checkout that leave the archives as they are.
_IRRELEVANT = ("venv", "vendor", "__pycache__")
#: What every archive depends on, beside its codebase.
_COMMON = ("firebase.json", "package-lock.json", "requirements.lock", "shared")


def prepare() -> dict[str, Source]:
    """Return the unpacked archive and the environment of each codebase, by its name; make what is out of date.

    Raises:
        SetupError: a predeploy, firebase-tools or the installation failed.
    """
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    sources = {name: Source(ARCHIVES / name, ARCHIVES / "environments" / name) for name in firebase_json.codebases()}
    with (ARCHIVES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpacked = _out_of_date({name: _archive_key(name) for name in sources}, ".archive")
        steps = Steps(2)
        if unpacked:
            with steps.step("deployment archives"):
                for name in unpacked:
                    _stamp(name, ".archive").unlink(missing_ok=True)
                entries = firebase_json.read()["functions"]
                pack([entry for entry in entries if entry["codebase"] in unpacked], ROOT, ARCHIVES, steps)
                for name, key in unpacked.items():
                    _stamp(name, ".archive").write_text(key)
        uninstalled = _out_of_date({name: _environment_key(sources[name]) for name in sources}, ".environment")
        if uninstalled:
            with steps.step("an environment for each archive"):
                for name, key in uninstalled.items():
                    _install(sources[name], steps)
                    _stamp(name, ".environment").write_text(key)
    return sources


def _stamp(name: str, suffix: str) -> Path:
    return ARCHIVES / f"{name}{suffix}"


def _out_of_date(keys: Mapping[str, str], suffix: str) -> dict[str, str]:
    return {name: key for name, key in keys.items() if not is_stamped(_stamp(name, suffix), key)}


def _archive_key(name: str) -> str:
    inputs = [ROOT / part for part in (*_COMMON, firebase_json.codebases()[name])]
    return digest(sys.version, *(part for path in _files(inputs) for part in (str(path.relative_to(ROOT)), path)))


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_file():
            yield path
        elif path.name not in _IRRELEVANT and path.suffix != ".egg-info":
            yield from _files(sorted(path.iterdir()))


def _environment_key(source: Source) -> str:
    asked = [source.folder / "requirements.txt", source.folder / "vendor" / "requirements.txt"]
    return digest(sys.version, str(source.venv), *(part for path in asked for part in (path.name, path)))


def pack(codebases: Iterable[Mapping[str, Any]], root: Path, target: Path, steps: Steps) -> None:
    """Unpack into `target` what firebase-tools would upload of `codebases`, entries of firebase.json, below `root`.

    Each predeploy runs in a copy of its codebase. Raise SetupError if one fails.
    """
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        project, orders = Path(scratch), list[dict[str, Any]]()
        for entry in codebases:
            copy = project / entry["source"]
            shutil.copytree(root / entry["source"], copy, symlinks=True)
            where = {"PROJECT_DIR": str(ROOT), "RESOURCE_DIR": str(copy)}
            for command in entry["predeploy"]:
                log = f"archives-predeploy-{entry['codebase']}"
                steps.run(["/bin/sh", "-c", command], log, "mend the predeploy of firebase.json", where)
            orders.append({"codebase": entry, "source": str(copy), "archive": f"{copy}.zip"})
        (project / "orders.json").write_text(json.dumps({"tools": str(NODE_MODULES), "orders": orders}))
        steps.run(["node", _PACKER, project / "orders.json"], "archives-pack", "run `make setup`")
        for order in orders:
            folder = target / order["codebase"]["codebase"]
            shutil.rmtree(folder, ignore_errors=True)
            with zipfile.ZipFile(order["archive"]) as archive:
                archive.extractall(folder)


def _install(source: Source, steps: Steps) -> None:
    """Make the environment of `source` hold what its requirements name: no less and no more."""
    name = source.venv.name
    _stamp(name, ".environment").unlink(missing_ok=True)
    environment = {"UV_PYTHON_DOWNLOADS": "never"}
    if not os.access(Path.home(), os.W_OK):
        environment["UV_CACHE_DIR"] = str(LOCAL / "uv-cache")
    interpreter, stamp = sys.version + sys.base_prefix, source.venv / ".interpreter"
    if not is_stamped(stamp, interpreter):
        made: list[str | Path] = [UV, "venv", "--clear", "--python", sys.executable, source.venv]
        steps.run(made, f"archives-venv-{name}", "run `make clean setup`", environment)
        stamp.write_text(interpreter)
    sync: list[str | Path] = [UV, "pip", "sync", "--require-hashes", "--compile-bytecode"]
    sync += ["--python", source.venv / "bin" / "python", "requirements.txt"]
    hint = "check the connection to the package index, or run `make lock`"
    # pip and uv look for `./vendor` in the current folder: in the cloud that is the archive's.
    steps.run(sync, f"archives-install-{name}", hint, environment, source.folder)
