"""Demo: checking a receipt of the log with verify.py alone."""

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from local.paths import ROOT

if TYPE_CHECKING:
    from local.stack.stack import Stack


def published_key(stack: "Stack") -> str:
    """The log's verifier key, by the command that its publisher uses."""
    command = [sys.executable, "-m", "cli", "tlog", "key"]
    environment = {**os.environ, **stack.environment()}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    return done.stdout.strip()


def verify(stack: "Stack", answer: dict[str, Any], key: str) -> tuple[bool, str]:
    """Whether `receipt`'s answer is proved, and what verify.py says."""
    file = stack.run_dir / "receipt.json"
    file.write_text(json.dumps(answer))
    try:
        command = [sys.executable, "-I", str(ROOT / "verify.py"), str(file), "--key", key]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    finally:
        file.unlink()
    return done.returncode == 0, (done.stdout or done.stderr).strip()
