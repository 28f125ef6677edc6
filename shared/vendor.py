"""Put the shared package into a codebase's folder before it is deployed: `shared/python.sh shared/vendor.py FOLDER`.

A deployed codebase can only install what lies in its own folder. The wheel holds every file of the package, and its
version carries a hash of them all: under an unchanged version pip would keep the wheel that it has seen before. The
same files make the same wheel, byte for byte: what has not changed is not deployed again.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: A wheel holds the time of each file, and has no earlier one: 1 January 1980.
EPOCH = "315532800"
#: In a process of its own: setuptools reads the folder that it runs in, and prints what it does.
BUILD = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"


def build(folder: Path) -> Path:
    """Build the wheel into `folder`/vendor, the only one there, unless it is there already. Return its path."""
    package = ROOT / "shared/astra"
    # No list of endings: what a module reads beside itself is part of it, whatever it is called.
    sources = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    pyproject = (ROOT / "shared/pyproject.toml").read_text(encoding="utf-8")
    digest = hashlib.sha256(pyproject.encode())
    for path in sources:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    version = digest.hexdigest()[:12]
    vendor = folder / "vendor"
    if wheel := _built(vendor, version):
        return wheel
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        versioned = re.sub(r'(?m)^(version = "[^"]+)"', rf'\1+{version}"', pyproject, count=1)
        _write(copy / "pyproject.toml", versioned.encode())
        for path in sources:
            _write(copy / path.relative_to(ROOT / "shared"), path.read_bytes())
        environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
        command = [sys.executable, "-c", BUILD, str(vendor.resolve())]
        done = subprocess.run(  # noqa: S603
            command, cwd=copy, env=environment, umask=0o022, capture_output=True, text=True, timeout=120, check=False
        )
    if done.returncode:
        raise SystemExit(f"the shared package could not be packed:\n{done.stderr}")
    wheel = next(vendor.glob("*.whl"))
    # Last, so that a build that was broken off counts as none.
    (vendor / "requirements.txt").write_text(_requirement(wheel), encoding="utf-8")
    return wheel


def _built(vendor: Path, version: str) -> Path | None:
    """Return the wheel of that version if it is there as it was built."""
    wheels, listed = [*vendor.glob("*.whl")], vendor / "requirements.txt"
    if len(wheels) != 1 or f"+{version}-" not in wheels[0].name or not listed.is_file():
        return None
    return wheels[0] if listed.read_text(encoding="utf-8") == _requirement(wheels[0]) else None


def _requirement(wheel: Path) -> str:
    return f"./vendor/{wheel.name} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _write(path: Path, content: bytes) -> None:
    """Write a file that is the same whoever makes it: the wheel holds its mode, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def main() -> None:
    """Build the wheel for the codebase of the command line."""
    parser = argparse.ArgumentParser(description="Put the shared package, as a wheel, into a codebase's folder.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the codebase's folder, such as functions/erasure")
    folder = parser.parse_args().folder
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder: name the folder of a codebase")
    print(f"vendored {build(folder).name}")  # noqa: T201


if __name__ == "__main__":
    main()
