"""Rules of the house that a machine can hold."""

import ast
import importlib
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from local.paths import ROOT

TRACKED = [
    ROOT / name
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()  # noqa: S607
]
TEXT = [path for path in TRACKED if path.suffix not in (".jpg", ".png", ".json", ".lock") and path.is_file()]

# What keys and tokens look like. 32 bytes in base64 is our own kind of key.
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|AIza[0-9A-Za-z_-]{35}|AKIA[0-9A-Z]{16}|ghp_[0-9A-Za-z]{36}"
    r"|r8_[0-9A-Za-z]{37}|(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])"
)


def test_no_secret_is_in_the_tree() -> None:
    found = [str(path.relative_to(ROOT)) for path in TEXT if _SECRETS.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_no_secret_ever_was_in_the_history() -> None:
    without = (":!*.lock", ":!*.json", ":!functions/*/requirements.txt")  # full of hashes
    command = ["git", "log", "-p", "--all", "--no-color", "--unified=0", "--", ".", *without]
    log = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode(errors="replace")  # noqa: S603
    assert _SECRETS.findall(log) == []


def test_the_scan_would_find_one() -> None:
    for planted in ("AKIA" + "A" * 16, "A" * 43 + "=", "-----BEGIN " + "PRIVATE KEY-----"):
        assert _SECRETS.search(f"key = '{planted}'")


@pytest.mark.parametrize("path", TEXT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_reads_in_one_sitting(path: object) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())  # type: ignore[attr-defined]
    code = str(path).endswith(".py") and "/tests/" not in str(path)
    limit = 400 if path == ROOT / "verify.py" else 300  # whoever has a receipt downloads that one file
    assert not code or lines <= limit, f"over {limit} lines: a module has one reason to exist"


def test_readme_names_every_folder_and_every_codebase() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = {path.relative_to(ROOT).parts[0] for path in TRACKED if len(path.relative_to(ROOT).parts) > 1}
    for folder in folders - {".ci"}:
        assert f"{folder}/" in readme, f"README's map lacks {folder}/"
    for main in (ROOT / "functions").glob("*/main.py"):
        assert f"`{main.parent.name}`" in readme, f"README lacks the codebase {main.parent.name}"


@pytest.mark.parametrize("path", sorted((ROOT / "bench").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_what_there_is(path: Path) -> None:
    """They run seldom, and import late."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                package = hasattr(module, "__path__") and importlib.util.find_spec(f"{node.module}.{name}")
                assert package or hasattr(module, name), f"{node.module} has no {name}"
