"""Put the shared package into a codebase's folder before it is deployed: `python3 shared/vendor.py FOLDER`.

A deployed codebase can only install what lies in its own folder. The wheel holds every file of the package, and its
version carries a hash of them all: under an unchanged version pip would keep the wheel that it has seen before.
Standard library only, as it runs on whatever Python the deployer has.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(folder: Path) -> Path:
    """Build the wheel into `folder`/vendor, the only one there. Answers its path."""
    package = ROOT / "shared/astra"
    # No list of endings: what a module reads beside itself is part of it, whatever it is called.
    sources = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    digest = hashlib.sha256(pyproject.encode())
    for path in sources:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    versioned = re.sub(r'(?m)^(version = "[^"]+)"', rf'\1+{digest.hexdigest()[:12]}"', pyproject, count=1)
    vendor = folder / "vendor"
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        (copy / "pyproject.toml").write_text(versioned, encoding="utf-8")
        for path in sources:
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(vendor)]
        # The deployer's Python only packs the files; the platform's, which pyproject.toml asks for, runs them.
        subprocess.run([*pip, "--ignore-requires-python", str(copy)], check=True, timeout=600)  # noqa: S603
    wheel = next(vendor.glob("*.whl"))
    wheel_hash = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (vendor / "requirements.txt").write_text(f"./vendor/{wheel.name} --hash=sha256:{wheel_hash}\n", encoding="utf-8")
    return wheel


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
