"""Put the shared package into a codebase's folder before it is deployed: `python3 shared/vendor.py FOLDER`.

A deployed codebase can only install what lies in its own folder. The wheel's version carries a hash of its content:
under an unchanged version pip would keep the wheel that it has seen before. Standard library only, as it runs on
whatever Python the deployer has.
"""

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
    sources = sorted(path for path in (ROOT / "shared/astra").rglob("*") if path.suffix in (".py", ".txt", ".typed"))
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
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(vendor), str(copy)],
            check=True,
            timeout=600,
        )
    wheel = next(vendor.glob("*.whl"))
    wheel_hash = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (vendor / "requirements.txt").write_text(f"./vendor/{wheel.name} --hash=sha256:{wheel_hash}\n", encoding="utf-8")
    return wheel


if __name__ == "__main__":
    print(f"vendored {build(Path(sys.argv[1])).name}")  # noqa: T201
