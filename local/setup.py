"""Makes a fresh clone ready to run: Python packages, firebase-tools, Java and the emulators' binaries.

Run by every `make` target, before the environment exists: standard library only. Each step leaves a stamp naming what
it was made from as its very last act, so an interrupted step is redone and a finished one costs nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if not __package__:  # run as a script: make `local` importable
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from local.paths import FIREBASE, LOCAL, NODE_MODULES, PYTHON, ROOT, VENV
from local.stack import emulators, toolchain
from local.stack.firebase_json import codebases
from local.stack.progress import SetupError, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

#: The runtime Cloud Functions runs these codebases on (`runtime` in firebase.json).
RUNTIME = (3, 11)
#: What firebase-tools 15 asks for.
NODE_AT_LEAST = 20
PIP_INSTALL = (str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install")


class Task(NamedTuple):
    """A step: what it is called, whether it is still to be done, and how."""

    title: str
    is_due: Callable[[], bool]
    do: Callable[[Steps], None]


def main() -> int:
    """Do whatever is still to be done; returns the exit code, having said in one line what is wrong, if anything."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        check_prerequisites()
        if any(task.is_due() for task in TASKS):
            with only_one_setup():
                due = [task for task in TASKS if task.is_due()]
                steps = Steps(len(due))
                for task in due:
                    with steps.step(task.title):
                        task.do(steps)
    except SetupError as wrong:
        print(f"set-up: {wrong}", file=sys.stderr)
        return 1
    except OSError as wrong:
        print(f"set-up: {wrong}; free the disk or mend the permissions, then run it again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; run it again and it goes on from there", file=sys.stderr)
        return 130
    return 0


def check_prerequisites() -> None:
    """Python of the deployed runtime, Node and npm. Raises SetupError naming the one to install."""
    if sys.version_info[:2] != RUNTIME:
        wanted = ".".join(map(str, RUNTIME))
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetupError(
            f"needs Python {wanted} (the deployed runtime), found {found}: install it, or make PYTHON=/path/to/it"
        )
    node = shutil.which("node")
    if node is None:
        raise SetupError(f"needs Node.js {NODE_AT_LEAST} or newer, found none: install it")
    asked = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=30)
    answer = asked.stdout.strip()
    version = re.match(r"v(\d+)\.", answer)
    if version is None or int(version[1]) < NODE_AT_LEAST:
        raise SetupError(
            f"needs Node.js {NODE_AT_LEAST} or newer, found {answer or 'one that fails'} at {node}: upgrade it"
        )
    if shutil.which("npm") is None:
        raise SetupError("needs npm (it installs firebase-tools), found none: install it, it comes with Node.js")


@contextmanager
def only_one_setup() -> Iterator[None]:
    """Hold the set-up lock, waiting for another set-up in this clone to end."""
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "setup.lock").open("w") as lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waiting:
                    print("set-up: waiting for another set-up in this clone to end", flush=True)
                    waiting = True
                time.sleep(0.5)
            else:
                break
        yield


def digest(*parts: Path | str) -> str:
    """A fingerprint of files (their content) and words."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        sha.update(b"\0")
    return sha.hexdigest()


def is_stamped(stamp: Path, wanted: str) -> bool:
    """Whether the step that writes `stamp` finished with the same input."""
    return stamp.is_file() and stamp.read_text() == wanted


VENV_STAMP = VENV / ".packages-ready"
PROJECT_STAMP = VENV / ".project-ready"
NODE_STAMP = NODE_MODULES / ".ready"


def venv_key() -> str:
    return digest(ROOT / "requirements.lock", sys.version, str(ROOT))  # a venv's scripts name its own path


def project_key() -> str:
    return digest(ROOT / "pyproject.toml", ROOT / "shared/pyproject.toml", venv_key())


def node_key() -> str:
    return digest(ROOT / "package.json", ROOT / "package-lock.json")


def make_venv(steps: Steps) -> None:
    """Build `.venv` from nothing with exactly what requirements.lock names, every file checked by its hash."""
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian ships Python without it
    except ImportError:
        raise SetupError("Python's venv module is incomplete: install python3.11-venv") from None
    shutil.rmtree(VENV, ignore_errors=True)
    steps.run([sys.executable, "-m", "venv", VENV], "setup-venv", "the environment could not be made")
    steps.run(
        [*PIP_INSTALL, "--require-hashes", "-r", "requirements.lock"],
        "setup-pip",
        "check the connection to the package index and run it again",
    )
    VENV_STAMP.write_text(venv_key())


def install_project(steps: Steps) -> None:
    """Make the packages of shared/, cli/ and functions/ importable. The lock file has brought what they need."""
    PROJECT_STAMP.unlink(missing_ok=True)
    editable = [*PIP_INSTALL, "--no-deps", "--no-build-isolation", "-e", "shared", "-e", "."]
    steps.run(editable, "setup-project", "mend pyproject.toml")
    PROJECT_STAMP.write_text(project_key())


def install_node_packages(steps: Steps) -> None:
    """Install firebase-tools, and what is measured against, as package-lock.json names them.

    `npm ci` empties node_modules first.
    """
    steps.run(
        # Their scripts would compile RE2 for minutes, which serves Hosting's rewrites alone, and may be missing.
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
        "setup-npm",
        "check the connection to the npm registry and run it again",
        None if os.access(Path.home(), os.W_OK) else {"npm_config_cache": str(LOCAL / "npm-cache")},
    )
    NODE_STAMP.write_text(node_key())


def link_venvs(_steps: Steps) -> None:
    """Give each codebase the `venv` that firebase-tools insists on: a link to the one environment."""
    for source in codebases().values():
        link = ROOT / source / "venv"
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            raise SetupError(f"{source}/venv is in the way of the link to .venv: delete it and run this again")
        link.symlink_to(os.path.relpath(VENV, link.parent))


def has_links() -> bool:
    links = [ROOT / source / "venv" for source in codebases().values()]
    return all(link.is_symlink() and link.resolve() == VENV.resolve() for link in links)


def prepare_emulators(steps: Steps) -> None:
    """Find Java and the three binaries firebase-tools runs, and note them where the stack will read them."""
    java = toolchain.find_java()
    steps.note(f"Java {java.version}: {java.source}")
    binaries = [emulators.prepare(name, java, steps) for name in emulators.NAMES]
    toolchain.Toolchain(emulators_key(), str(java.home), binaries).save()


def emulators_key() -> str:
    return digest(node_key(), venv_key(), emulators.RULES_ENGINE, str(emulators.cache_folder()))


def emulators_are_due() -> bool:
    known = toolchain.load()
    return known is None or known.key != emulators_key() or not known.is_complete()


TASKS = (
    Task("Python packages", lambda: not (is_stamped(VENV_STAMP, venv_key()) and PYTHON.exists()), make_venv),
    Task("this project, editable", lambda: not is_stamped(PROJECT_STAMP, project_key()), install_project),
    Task(
        "firebase-tools",
        lambda: not (is_stamped(NODE_STAMP, node_key()) and FIREBASE.exists()),
        install_node_packages,
    ),
    Task("a venv for each codebase", lambda: not has_links(), link_venvs),
    Task("Java and the emulators", emulators_are_due, prepare_emulators),
)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
