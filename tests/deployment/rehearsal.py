"""Rehearsal of a deployment: the real `firebase` and `gcloud` commands against a stand-in of Google's APIs.

    with Rehearsal(folder) as rehearsal:
        rehearsal.gcloud("services", "enable", "run.googleapis.com")
        done = rehearsal.firebase("deploy", "--only", "functions:erasure")

Both run in a copy of this repository, with a home folder of their own, through an HTTPS proxy whose CA they are told to
trust. What they leave behind is in `rehearsal.cloud`; what they asked for is recorded in `rehearsal.google`.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import shutil
import signal
import subprocess
import time
import zipfile
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Self

from local.paths import FIREBASE, NODE_MODULES, ROOT, VENV
from local.stack.firebase_json import codebases
from local.stack.stack import STARTING
from tests.deployment.cloud.certificates import Authority
from tests.deployment.cloud.google import Google
from tests.deployment.cloud.proxy import Proxy
from tests.deployment.cloud.state import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What a copy of the repository needs to be deployed from.
COPIED: Final = (
    "firebase.json",
    "firebase.vault.json",
    "firestore.rules",
    "firestore.indexes.json",
    "firestore.vault.indexes.json",
    "storage.rules",
    "pyproject.toml",
    "functions",
    "local",
    "settings",
    "shared",
)
_MADE: Final = shutil.ignore_patterns("venv", "vendor", "__pycache__", "*.egg-info", ".env.[!e]*")


class Rehearsal:
    """One project in the stand-in, and one copy of the repository to deploy it from."""

    def __init__(self, folder: Path, cloud: Cloud | None = None) -> None:
        self.cloud = cloud or Cloud()
        self.google = Google(self.cloud)
        self.folder = folder / "repository"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._copy()
        self.commands = folder / "commands"
        self._replace_commands()
        self.proxy = Proxy(Authority(folder), self.google)
        #: Who deploys: the project's owner unless a test says otherwise.
        self.caller = self.cloud.owner
        #: The deployment's settings, for all codebases.
        self.settings = self.folder / f"settings/.env.{self.cloud.project}"
        self._tokens: dict[str, str] = {}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._running.enter_context(self.proxy)
        return self

    def __exit__(self, *_how: object) -> None:
        self._running.close()

    def _copy(self) -> None:
        self.folder.mkdir()
        for name in COPIED:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, self.folder / name, ignore=_MADE)
            else:
                shutil.copy2(path, self.folder / name)
        (self.folder / ".venv").symlink_to(VENV)
        (self.folder / "node_modules").symlink_to(NODE_MODULES)
        for source in codebases().values():
            (self.folder / source / "venv").symlink_to(VENV)

    def _replace_commands(self) -> None:
        """Make the commands that come before the machine's own: a deployer has any Python or none, and no time."""
        self.commands.mkdir()
        any_python = "#!/bin/sh\necho 'the machine has no Python that this repository runs with' >&2\nexit 1\n"
        for name, text in {"python": any_python, "python3": any_python, "sleep": "#!/bin/sh\n"}.items():
            path = self.commands / name
            path.write_text(text)
            path.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """What the commands run with: nothing of the machine's own accounts, settings or proxies."""
        token = self._tokens.setdefault(self.caller, self.cloud.token_for(self.caller))
        token_file = self.home / f"access-token-{token[-8:]}"
        if not token_file.exists():  # another command may be reading it
            token_file.write_text(token)
        ca = str(self.proxy.authority.certificate)
        return {
            "PATH": f"{self.commands}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "CI": "true",
            "NO_UPDATE_NOTIFIER": "1",
            "HTTPS_PROXY": self.proxy.url,
            "NODE_EXTRA_CA_CERTS": ca,
            "FIREBASE_TOKEN": token,
            "CURL_CA_BUNDLE": ca,
            "CLOUDSDK_CONFIG": str(self.home / "gcloud"),
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token_file),
            "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": ca,
            "CLOUDSDK_CORE_PROJECT": self.cloud.project,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        }

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no stack starts, and keep others from it until `firebase` has asked the codebases what they hold.

        It asks at the first port from 8081 on that looks free: two that ask at once hear each other's functions.
        """
        with STARTING.open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            # What it asks Google first, once it knows.
            known = "GET cloudfunctions.googleapis.com/v1"
            with self.google.when_asked(known, lambda: fcntl.flock(turn, fcntl.LOCK_UN)):
                yield

    def firebase(self, *arguments: str, timeout: float = 170) -> subprocess.CompletedProcess[str]:
        """Run `firebase` as CI does, without a terminal."""
        deadline = time.monotonic() + timeout
        with self.started(*arguments) as process:
            output, _ = process.communicate(timeout=deadline - time.monotonic())
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start `firebase` in a process group of its own, and end it if it is still running."""
        command = [str(FIREBASE), *arguments, "--project", self.cloud.project, "--non-interactive"]
        with self._turn():
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()

    def answering(self, answers: list[tuple[str, str]], *arguments: str, timeout: float = 170) -> str:
        """Run `firebase` at a terminal, as a person does who gives each of `answers` to its question, in any order.

        A question is asked as often as it stands in `answers`. Return what was said. Raise AssertionError if one was
        not asked, or if another was, which nobody answers.
        """
        left = list(answers)
        said = ""
        deadline = time.monotonic() + timeout
        with self._terminal(*arguments) as (process, terminal):
            answered = 0
            while time.monotonic() < deadline:
                if not select.select([terminal], [], [], 0.2)[0]:
                    if process.poll() is not None:
                        break
                    continue
                try:
                    said += os.read(terminal, 65536).decode(errors="replace")
                except OSError:  # the terminal's other end is closed: the command has ended
                    break
                pair = next((one for one in left if one[0] in said[answered:]), None)
                if pair:
                    answered = len(said)
                    left.remove(pair)
                    os.write(terminal, f"{pair[1]}\r".encode())
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still waiting, perhaps for an answer; never asked: {left}\n{said}") from None
        assert not left, f"never asked: {left}\n{said}"
        return said

    @contextmanager
    def _terminal(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        ours, theirs = pty.openpty()
        command = [str(FIREBASE), *arguments, "--project", self.cloud.project]
        environment = self.environment() | {"TERM": "xterm"}
        with self._turn():
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self.folder,
                env=environment,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            try:
                yield process, ours
            finally:
                os.close(ours)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def uploaded(self, codebase: str) -> Iterator[dict[str, bytes]]:
        """Yield the files, by name, of each archive that a function of the codebase was last built from."""
        functions = self.cloud.named(r".+/functions/.+").values()
        for source in {
            function["buildConfig"]["source"]["storageSource"]["object"]
            for function in functions
            if function["labels"]["firebase-functions-codebase"] == codebase
        }:
            with zipfile.ZipFile(io.BytesIO(self.cloud.uploads[source])) as archive:
                yield {name: archive.read(name) for name in archive.namelist()}

    def gcloud(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `gcloud`."""
        return self.run("gcloud", *arguments, timeout=timeout)

    def sh(self, script: str, typed: str = "", timeout: float = 170, *, deploys: bool = False) -> str:
        """Run a script of a page of the documentation, `typed` being what a person types in. Return what it said.

        Raise AssertionError at its first error. `deploys` is True if it deploys functions.
        """
        with self._turn() if deploys else nullcontext():
            done = self.run("bash", "-euc", script, typed=typed, timeout=timeout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def run(self, *command: str, typed: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run any command in the copy of the repository, through the proxy. Its output is in `stdout`, errors too."""
        return subprocess.run(  # noqa: S603
            command,
            cwd=self.folder,
            env=self.environment(),
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
