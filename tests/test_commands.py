"""The commands for staff and deployers: none changes anything until a verb says what to do."""

import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.cloud import firestore

from local.paths import ROOT
from local.scan import DATABASES, documents
from local.stack import Stack

IN_PACKAGE = [
    f"astra.{path.stem}"
    for path in sorted((ROOT / "shared/astra").glob("*.py"))
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
]
#: Only reads: `breach` shows the open incidents, `rules` compares what is deployed.
VERBLESS = ("cli.breach", "cli.rules")
#: Nothing answers here: to touch any store but Firestore is a failure.
ELSEWHERE = "127.0.0.1:9"


def run(command: str, arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", command, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["no-such-verb"]], ids=["nothing", "help", "unknown"])
def test_a_command_without_a_verb_writes_nothing(stack: Stack, tmp_path: Path, arguments: list[str]) -> None:
    project = f"demo-{secrets.token_hex(6)}"
    environment = {"GOOGLE_CLOUD_PROJECT": project, "NO_GCE_CHECK": "true"}
    environment["FIRESTORE_EMULATOR_HOST"] = stack.environment()["FIRESTORE_EMULATOR_HOST"]
    if not arguments:
        away = {"ASTRA_REDIS_URL": f"redis://{ELSEWHERE}/0", "STORAGE_EMULATOR_HOST": f"http://{ELSEWHERE}"}
        away |= {"FIREBASE_AUTH_EMULATOR_HOST": ELSEWHERE, "FIREBASE_CONFIG": f'{{"projectId": "{project}"}}'}
        environment = {**stack.environment(), **environment, **away}

    with ThreadPoolExecutor(os.cpu_count()) as hands:
        ended = list(hands.map(lambda command: run(command, arguments, tmp_path, **environment), IN_PACKAGE))

    for database in DATABASES:
        assert list(documents(firestore.Client(project=project, database=database))) == [], database
    assert list(tmp_path.iterdir()) == []
    for command, done in zip(IN_PACKAGE, ended, strict=True):
        if arguments == ["--help"]:
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert done.stdout.startswith(f"usage: python -m {command}"), done.stdout
        elif arguments or command not in VERBLESS:
            assert done.returncode == 2, f"{command}: {done.stdout}{done.stderr}"
            assert f"usage: python -m {command}" in done.stderr
        elif command == "cli.breach":
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "program", ["shared/vendor.py", "verify.py", "local/lock.py", "local/setup.py", "local/demo.py"]
)
def test_a_program_of_the_repository_explains_itself_and_does_nothing(tmp_path: Path, program: str) -> None:
    command = program.removesuffix(".py").replace("/", ".")
    for arguments, code in ((["--help"], 0), (["--no-such-option"], 2)):
        done = run(command, arguments, tmp_path)
        assert done.returncode == code, done.stderr
        assert "usage: " in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
