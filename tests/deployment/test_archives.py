"""Deployment archives: they hold the checkout's modules and the wheel, and nothing else, and the tests run them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from local.deployment import archives
from local.paths import ROOT
from local.stack import firebase_json
from local.stack.progress import Steps
from tests.support.sources import sources

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack.run_folder import Source
    from local.stack.stack import Stack

CODEBASES = firebase_json.codebases()
INSTALLED = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


@pytest.fixture(scope="module")
def unpacked() -> dict[str, Source]:
    return archives.prepare()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_the_repository(folder: str) -> dict[str, bytes]:
    """The files that git knows or would take in, with their content in the checkout."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    paths = [ROOT / name for name in listed.split("\0") if name]
    return {str(path.relative_to(ROOT / folder)): path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("codebase", CODEBASES)
def test_an_archive_holds_the_codebase_and_the_wheel(codebase: str, unpacked: dict[str, Source]) -> None:
    held = contents(unpacked[codebase].folder)
    [wheel] = [name for name in held if name.endswith(".whl")]
    assert wheel.startswith("vendor/astra_privacy_shared-")
    assert wheel.removeprefix("vendor/").encode() in held.pop("vendor/requirements.txt")
    assert {name: content for name, content in held.items() if name != wheel} == of_the_repository(CODEBASES[codebase])


def test_an_archive_leaves_out_what_lies_beside_the_modules(tmp_path: Path) -> None:
    [entry] = [entry for entry in firebase_json.read()["functions"] if entry["codebase"] == "retention"]
    (tmp_path / "packed").mkdir()
    folder = tmp_path / entry["source"]
    shutil.copytree(ROOT / entry["source"], folder, ignore=shutil.ignore_patterns("venv", "vendor", "__pycache__"))
    kept = set(contents(folder))
    planted = (".secret.local", ".env.local", "venv/lib/x.py", "__pycache__/main.pyc", "tests/test_x.py", ".git/config")
    for name in planted:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("planted")
    archives.pack([entry], tmp_path, tmp_path / "packed", Steps(1))
    packed = {name for name in contents(tmp_path / "packed/retention") if not name.startswith("vendor/")}
    assert packed == kept


def normalized(versions: dict[str, str]) -> dict[str, str]:
    """The same by names as PEP 503 has them."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in versions.items()}


@pytest.mark.parametrize("codebase", CODEBASES)
def test_an_environment_holds_what_its_archive_asks_for(codebase: str, unpacked: dict[str, Source]) -> None:
    source = unpacked[codebase]
    asked = (source.folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(" ")[0].split("==") for line in asked if "==" in line)
    [wheel] = (source.folder / "vendor").glob("*.whl")
    pins["astra-privacy-shared"] = wheel.name.split("-")[1]
    listing = [str(source.venv / "bin/python"), "-I", "-c", INSTALLED]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603
    assert normalized(json.loads(listed)) == normalized(pins)


def test_archives_that_are_up_to_date_are_left_alone(unpacked: dict[str, Source]) -> None:
    before = {source.folder: source.folder.stat().st_ino for source in unpacked.values()}
    assert {source.folder: source.folder.stat().st_ino for source in archives.prepare().values()} == before


def test_the_checkout_holds_no_vendored_wheel(unpacked: dict[str, Source]) -> None:
    assert not list(ROOT.glob("functions/*/vendor"))


def test_the_stack_runs_functions_in_their_own_environments(stack: Stack) -> None:
    stack.fire("sequence")
    environments = {
        process.environ().get("VIRTUAL_ENV")
        for process in psutil.Process().children(recursive=True)
        if "functions-framework" in " ".join(process.cmdline())
    } - {None}  # the shell that activates one
    assert environments
    assert environments <= {str(source.venv) for source in sources().values()}
