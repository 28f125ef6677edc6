"""The wheel of a deployed codebase: it holds the whole package and renders every template."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT

TREE = "shared/astra"


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603
        [str(part) for part in command],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked(tree: str = TREE) -> set[str]:
    """Return the files in a folder as from the folder above it, including new ones that no commit has yet."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", tree).split("\0")
    return {name.removeprefix("shared/") for name in listed if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codebase")
    run(sys.executable, "shared/vendor.py", folder)
    [found] = (folder / "vendor").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def rendered(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of `tests/support/rendering.py`, run with `astra` from the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel)
    path = os.pathsep.join(map(str, (target, ROOT / "functions/governance")))
    said: dict[str, Any] = json.loads(run(sys.executable, "tests/support/rendering.py", PYTHONPATH=path))
    assert said["home"] == str(target / "astra"), "the program imported another astra than the wheel's"
    return said


def test_the_wheel_holds_the_package_file_by_file(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == tracked()


def test_the_installed_wheel_renders_every_template(rendered: dict[str, Any]) -> None:
    every = {name for tree in (TREE, "functions", "cli") for name in tracked(tree) if "/templates/" in name}
    assert rendered["templates"] == sorted(every)


def test_only_notices_that_staff_word_themselves_have_no_template(rendered: dict[str, Any]) -> None:
    assert rendered["bare"] == ["disclosure", "legal-hold", "staff"]
