"""The local stack as a library.

For the tests, the demo and `up`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil  # type: ignore[import-untyped]

from local.paths import LOGS, MAIL, shown
from local.stack import commands, first_data, ports, readiness, run_folder, toolchain
from local.stack.schedules import Schedules
from local.stack.supervised import Supervised
from local.stand_ins import webhooks
from local.stand_ins.google_apis import TOPIC, GoogleStandIn
from local.stand_ins.mail_server import MailServer
from local.stand_ins.replicate import ReplicateStandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EMULATORS = ("auth", "functions", "firestore", "storage", "pubsub", "tasks", "eventarc")
#: Locked by the one stack of this machine that is starting.
STARTING = Path(tempfile.gettempdir()) / f"astra-stack-{os.getuid()}.lock"
#: Seconds the emulators may take to start; between two looks.
START_DEADLINE, POLL = 180.0, 0.25
#: Seconds between two lines of progress.
PROGRESS = 5.0

#: What the functions are told here in place of production's settings; waiting periods are shortened.
SETTINGS = {
    "ASTRA_KMS_URI": "local",
    "ASTRA_QUIET_PERIOD_SECONDS": "3",
    "ASTRA_CONFIRMATION_WAIT_SECONDS": "10",
    "ASTRA_RETRY_DELAY_SECONDS": "1",
    "ASTRA_UNSEALED_AFTER_SECONDS": "10",
    "ASTRA_CHECKPOINT_SECONDS": "1",
    "ASTRA_ROLL_CALL_HOURS": "1",
    "ASTRA_ORPHAN_CONFIRM_HOURS": "0.02",
    "ASTRA_ORPHAN_FROZEN_DAYS": "0.001",
    "ASTRA_ORPHANS_SHARE": "0.5",  # of very few
    "ASTRA_SILENT_MINUTES": "0",  # the emulators write no audit log
    "ASTRA_POLICY_NOTICE_DAYS": "0.0001",
    "ASTRA_TRANSFER_WAITING_DAYS": "0.0001",
    "ASTRA_WITNESS_BUCKET": ports.WITNESS_BUCKET,
}


class StackError(Exception):
    """The stack can't start, or has stopped; one line saying why and what to do."""


class Stack:
    """A running local stack; `with Stack() as stack:` starts it and always stops all of it.

    Args:
        only: the emulators to start; Redis, mail and the stand-ins for Replicate and the witness always are.
        offset: added to every port, so that a second stack can run beside the first.
        timer: seconds between two firings of each schedule, or None for no timer.
        settings: more environment for the functions, over SETTINGS.
        sources: what runs of each codebase, by its name; see `archives.prepare`. None for the checkout.
        keep_mail: also write each mail to `.local/mail` as an .eml file.
        say: called with each line of progress.
    """

    project = "demo-astra"
    region = "us-central1"
    bucket = "demo-astra.appspot.com"

    def __init__(
        self,
        *,
        only: tuple[str, ...] = EMULATORS,
        offset: int = 0,
        timer: float | None = 3.0,
        settings: Mapping[str, str] | None = None,
        sources: Mapping[str, run_folder.Source] | None = None,
        keep_mail: bool = False,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.ports = ports.needed(only, offset)
        #: Bases of the REST APIs: add `/identitytoolkit.googleapis.com/v1/…`, `/v1/projects/…`, `/v0/b/…`.
        self.auth_url, self.firestore_url, self.storage_url = map(self._url, ("auth", "firestore", "storage"))
        #: Base of the functions emulator; see `function_url`.
        self.functions_url = self._url("functions")
        self.redis_url = f"redis://127.0.0.1:{self.ports['redis']}/0"
        self.smtp = ("127.0.0.1", self.ports["smtp"])
        self.mail = MailServer(self.ports["smtp"], MAIL if keep_mail else None)
        self.replicate = ReplicateStandIn(self.ports["replicate"])
        self.log_dir = LOGS / f"offset-{offset}" if offset else LOGS
        self.failure: str | None = None
        self._only, self._offset, self._timer, self._say = only, offset, timer, say
        self._sources = sources or run_folder.checkout()
        self.witness_url = self._url("witness")
        topic = f"{self._url('pubsub')}/v1/projects/{self.project}/topics/{TOPIC}:publish" if "pubsub" in only else None
        self.google = GoogleStandIn(self.ports["google"], topic)
        urls = {"ASTRA_REPLICATE_URL": self.replicate.url, "ASTRA_WITNESS_URL": self.witness_url}
        urls |= {"ASTRA_LOGGING_URL": self.google.url, "ASTRA_IAM_URL": self.google.url}
        self._settings = {**SETTINGS, **urls, **(settings or {})}
        self._folder: run_folder.RunFolder | None = None
        self._processes: Supervised | None = None
        self._stopping = False
        self._ended = threading.Event()
        self.schedules = Schedules(self.functions_url, self.project, self.region) if "functions" in only else None

    @property
    def run_dir(self) -> Path:
        """What this run made for itself, blobs and secrets included; gone once it has stopped."""
        if self._folder is None:
            raise StackError("the stack has not been started")
        return self._folder.path

    def function_url(self, name: str) -> str:
        """Where an HTTPS or callable function answers."""
        return f"{self.functions_url}/{self.project}/{self.region}/{name}"

    def fire(self, name: str, at: datetime | None = None) -> None:
        """Run one schedule to its end; `at`, as if it had been due then. Raises ScheduleError."""
        if self.schedules is None:
            raise StackError("this stack runs no functions")
        self.schedules.fire(name, at)

    def environment(self) -> dict[str, str]:
        """What a process needs so that the admin clients and the project's own settings find this stack."""
        folder = self._folder
        if folder is None:
            raise StackError("the stack has not been started")
        hosts = {
            "FIREBASE_AUTH_EMULATOR_HOST": "auth",
            "FIRESTORE_EMULATOR_HOST": "firestore",
            "PUBSUB_EMULATOR_HOST": "pubsub",
            "CLOUD_TASKS_EMULATOR_HOST": "tasks",
        }
        return {
            **{variable: f"127.0.0.1:{self.ports[name]}" for variable, name in hosts.items() if name in self.ports},
            **({"STORAGE_EMULATOR_HOST": self.storage_url} if "storage" in self.ports else {}),
            "ASTRA_FUNCTIONS_URL": self.function_url("").rstrip("/"),
            "GOOGLE_CLOUD_PROJECT": self.project,
            "GCLOUD_PROJECT": self.project,
            "FIREBASE_CONFIG": json.dumps({"projectId": self.project, "storageBucket": self.bucket}),
            "FUNCTIONS_EMULATOR": "true",
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder.service_account),
            "NO_PROXY": commands.LOOPBACK,
            **self._settings,
            **folder.secrets,
        }

    def start(self) -> None:
        """Start everything and return when it is ready to use.

        Raises:
            StackError: a port is taken, set-up has not been run, or something did not start; nothing is left running.
        """
        try:
            # firebase-tools asks each codebase what is in it at the first port from 8081 on that looks free: two that
            # start at once ask each other's.
            with STARTING.open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything this stack started and delete what it made; the logs stay. Safe to call twice."""
        self._stopping = True
        if self.schedules:
            self.schedules.stop_timer()
        if self._processes:
            self._processes.stop()
        elif self._folder:
            shutil.rmtree(self._folder.path, ignore_errors=True)
        if self.schedules:
            self.schedules.close()
        self.mail.stop()
        self.replicate.stop()
        self.google.stop()
        self._ended.set()

    def check(self) -> None:
        """Raise StackError if something in the stack has died since it started."""
        if self.failure:
            raise StackError(self.failure)

    def wait(self) -> None:
        """Wait until something in the stack dies. Raises StackError saying what."""
        self._ended.wait()
        self.check()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_how: object) -> None:
        self.stop()

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports.get(name, 0)}"

    def _start(self) -> None:
        tools = toolchain.load()
        if tools is None or not tools.is_complete():
            raise StackError("the stack is not set up: run `make setup`")
        busy = ports.first_busy(self.ports)
        if busy:
            raise StackError(busy)
        self.log_dir.mkdir(parents=True, exist_ok=True)
        services = {
            "ASTRA_BOUNCE_SECRET": webhooks.new_secret(),
            "ASTRA_REDIS_URL": self.redis_url,
            "ASTRA_REPLICATE_TOKEN": self.replicate.token,
            "ASTRA_SMTP_URL": f"smtp://127.0.0.1:{self.ports['smtp']}",
            "ASTRA_WITNESS_KEY_ID": "local",  # the stand-in takes any
            "ASTRA_WITNESS_SECRET": "local",
        }
        self._folder = folder = run_folder.make(self.project, self._offset, services, self._sources)
        folder.configure(self._settings)
        self.mail.start()
        self.replicate.start()
        self.google.start()
        redis = commands.redis(self.ports["redis"], folder)
        if redis is None:
            raise StackError("there is no redis-server: install it (apt install redis-server)")
        firebase = commands.firebase(self._only, self.project, folder, tools)
        witness = commands.witness(self.ports["witness"])
        self._processes = Supervised([redis, firebase, witness], self.log_dir, folder.path, self._on_exit)
        self._wait_until_ready()
        programs = readiness.emulator_programs(self._processes.processes["firebase"])
        threading.Thread(target=self._watch_programs, args=(programs,), name="watchdog", daemon=True).start()
        if "firestore" in self._only and (
            wrong := first_data.write(self.firestore_url, self.project, self.environment())
        ):
            raise StackError(wrong)
        if self.schedules and self._timer:
            self.schedules.start_timer(self._timer)

    def _wait_until_ready(self) -> None:
        log = self.log_dir / "firebase.log"
        began = spoke = time.monotonic()
        self._say(f"starting the emulators (log: {shown(log)})")
        while True:
            self.check()
            now = time.monotonic()
            services_up = readiness.redis_is_up(self.ports["redis"]) and readiness.witness_is_up(self.witness_url)
            if services_up and readiness.is_started(log):
                missing = readiness.missing(self._url("hub"), self._only, self.functions_url)
                if missing:
                    raise StackError(f"did not start: {', '.join(missing)} (log: {shown(log)})")
                self._say(f"ready after {now - began:.0f} s")
                return
            reason = readiness.load_failure(log, self.environment())
            if reason:
                raise StackError(reason)
            if now - began > START_DEADLINE:
                raise StackError(f"not ready after {START_DEADLINE:.0f} s: {readiness.last_words(log)}")
            if now - spoke >= PROGRESS:
                spoke = now
                self._say(f"starting the emulators: {now - began:.0f} s")
            time.sleep(POLL)

    def _watch_programs(self, programs: Mapping[psutil.Process, str]) -> None:
        while not self._ended.is_set():
            for program in psutil.wait_procs(programs, timeout=1)[0]:
                self._fail(f"the {programs[program]} emulator stopped (log: {shown(self.log_dir / 'firebase.log')})")

    def _on_exit(self, name: str, code: int) -> None:
        self._fail(f"{name} ended with code {code}: {readiness.last_words(self.log_dir / f'{name}.log')}")

    def _fail(self, line: str) -> None:
        if self._stopping or self.failure:
            return
        self.failure = line
        if self._processes:
            self._processes.begin_stop()  # so that whoever waits for an answer is refused instead of left waiting
        self._ended.set()
