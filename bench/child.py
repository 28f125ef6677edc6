"""Benchmarks in a process of their own, whose environment is a local stack's: its clients find that stack."""

import os
import subprocess
import sys
from collections.abc import Iterator

from local.paths import ROOT
from local.stack.stack import Stack

_MARK = "> "


def measured(stack: Stack, codebase: str, module: str, *arguments: str) -> Iterator[str]:
    """Run `python -m module` beside the modules of `codebase`; the lines that it says with `say`, as they come."""
    environment = os.environ | stack.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions' / codebase}"}
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as measuring:
        assert measuring.stdout
        yield from (line.removeprefix(_MARK).rstrip() for line in measuring.stdout if line.startswith(_MARK))
    assert measuring.returncode == 0


def say(line: str) -> None:
    """Have a line told, from within: what is measured logs between them."""
    print(f"{_MARK}{line}", flush=True)
