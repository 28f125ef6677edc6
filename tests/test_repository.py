"""Rules of the house that a machine can hold."""

import ast
import importlib
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from local.paths import ROOT
from local.stack.ports import NEVER_FETCHED, needed
from local.stack.stack import EMULATORS
from tests.support import offsets

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


def fixed_ports(source: str) -> list[int]:
    """Return the ports that a module names outright: as an argument, in an address, by a name that says so.

    Those below 1024 are no server's: tests connect to them to be refused.
    """
    found: list[object] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.keyword(arg="port", value=ast.Constant(value=port)):
                found.append(port)
            case ast.Tuple(elts=[ast.Constant(value=str()), ast.Constant(value=port)]):
                found.append(port)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=port)) if name == "PORT":
                found.append(port)
            case ast.Assign(targets=[ast.Name(id="OFFSET")], value=ast.Constant(value=int(offset))):
                found.append(1024 + offset)
            case ast.Constant(value=str(text)):
                found += [int(port) for port in re.findall(r"(?:127\.0\.0\.1|localhost|\[::1\]):(\d+)", text)]
            case ast.Call(func=ast.Name(id="Stack"), keywords=keywords) if "offset" not in [k.arg for k in keywords]:
                found.append(1024)
            case ast.keyword(arg="offset", value=ast.Constant(value=int(offset))):
                found.append(1024 + offset)
    return [port for port in found if isinstance(port, int) and port >= 1024]


# Two runs beside each other have a STACK_OFFSET each.
def test_no_test_has_a_fixed_port() -> None:
    found = {str(path): fixed_ports(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("*.py")}
    assert {path: ports for path, ports in found.items() if ports} == {}


def test_a_fixed_port_would_be_found() -> None:
    for planted in ("f(port=10_465)", "f(('localhost', 8080))", "PORT = 8080", f"f('http://127.0.0.1:{8080}/')"):
        assert fixed_ports(planted), planted
    for planted in ("Stack()", "Stack(offset=10_000)", "OFFSET = 20_000"):
        assert fixed_ports(planted), planted
    assert fixed_ports("f(port=0), f('redis://127.0.0.1:9/0'), Stack(offset=SHARED)") == []


def test_the_stacks_of_the_tests_share_no_port_and_can_be_fetched_from() -> None:
    ports = [
        port + offset
        for offset in (offsets.SHARED, offsets.ONE_LIFE, offsets.SERVERS, offsets.UP)
        for port in needed(EMULATORS, 0).values()
    ]
    assert len(set(ports)) == len(ports)
    assert not set(ports) & NEVER_FETCHED


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
