"""Lock files: of the whole environment, and of each codebase within it."""

import argparse
import subprocess
import sys
from pathlib import Path

from local.paths import ROOT, VENV
from local.stack import firebase_json

_COMPILE = [
    *(str(VENV / "bin" / "uv"), "pip", "compile", "--quiet", "--python", sys.executable, "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
]
_WHOLE = "requirements.lock"
_SHARED = "shared/pyproject.toml"
#: Seconds for one resolution.
_TIMEOUT = 1800.0
_HEADER = "# Written by `make lock`.\n"
_VENDORED = """
# The shared package itself: `shared/vendor.py` puts it here before each deployment.
-r vendor/requirements.txt
"""


def main() -> None:
    """Lock everything. A codebase gets the same versions as the environment that its tests ran in."""
    argparse.ArgumentParser(prog="python -m local.deployment.lock", description=__doc__).parse_args()
    sources = sorted(Path(source) for source in firebase_json.codebases().values())
    wanted = [_SHARED, *(str(source / "requirements.in") for source in sources)]
    command = [*_COMPILE, "--extra", "dev", "-o", _WHOLE, "pyproject.toml", *wanted]
    subprocess.run(command, cwd=ROOT, check=True, timeout=_TIMEOUT)
    for source in sources:
        target = source / "requirements.txt"
        print(f"locking {target}", flush=True)
        (ROOT / target).unlink(missing_ok=True)  # uv would read it, and the vendored package is not there
        command = [*_COMPILE, "-c", _WHOLE, "-o", str(target), _SHARED, str(source / "requirements.in")]
        subprocess.run(command, cwd=ROOT, check=True, timeout=_TIMEOUT)
        (ROOT / target).write_text(_HEADER + (ROOT / target).read_text() + _VENDORED)
    subprocess.run(["npm", "install", "--package-lock-only"], cwd=ROOT, check=True, timeout=_TIMEOUT)


if __name__ == "__main__":
    main()
