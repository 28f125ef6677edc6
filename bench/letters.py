"""Benchmark: e-mail delivery by workers that are killed again and again.

The crash window is from when the server has accepted a letter until that is recorded: killed in it, a worker has sent a
letter that goes out again. So of each kill one letter may come twice, the last that was accepted before it.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local.paths import ROOT
from local.stand_ins.mail_server import MailServer

_STEP = timedelta(minutes=6)
"""Longer than a lease."""
_HOUR = timedelta(hours=1)
_PATIENCE = 60.0
"""Seconds without a letter."""


@dataclass(frozen=True)
class Outcome:
    """How a campaign ended whose worker was killed."""

    kills: int
    letters: int
    inside: int
    """Letters that came a second time because a worker was killed in the crash window,"""
    outside: int
    """and those that came a second time for no such reason."""
    seconds: float


def killed(platform: Any, name: str, members: int, kills: int, environment: Mapping[str, str]) -> Outcome:
    """Have the letters of a campaign sent, and kill who sends them so many times. It has been announced.

    `environment` is what the worker finds the stack by.
    """
    port = free_port()
    server, ahead, last = MailServer(port), timedelta(0), Counter[str]()
    server.start()
    config = json.dumps({"projectId": platform.app.project_id})
    names = {"FIREBASE_CONFIG": config, "GOOGLE_CLOUD_PROJECT": platform.app.project_id}
    names |= {"ASTRA_SMTP_URL": f"smtp://127.0.0.1:{port}", "ASTRA_LETTERS_A_MINUTE": str(10 * members)}
    names |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions/notices'}"}
    began = time.monotonic()
    try:
        for kill in range(kills + 1):
            command = [sys.executable, "-m", "bench.letters", name, str(ahead.total_seconds())]
            with subprocess.Popen(command, env={**environment, **names}, stdout=subprocess.PIPE, text=True) as worker:
                until = members + kills if kill == kills else (kill + 1) * members // (kills + 1)
                if kill < kills:
                    _await_letters(server, until)
                    time.sleep(random.random() / 50)  # noqa: S311
                    worker.send_signal(signal.SIGKILL)
                said = (worker.communicate()[0] or "").splitlines()
            assert worker.returncode == (0 if kill == kills else -signal.SIGKILL), worker.returncode
            _await_no_client(server)
            if kill < kills:
                last[_key(server, -1)] += 1  # it may strike the same letter again, when that comes a second time
            _let_go_of_locks(platform.db, said)
            ahead += _STEP
    finally:
        server.stop()
    keys = Counter(_key(server, number) for number in range(len(server.messages)))
    again = keys - Counter(keys.keys())
    inside = (again & last).total()
    return Outcome(kills, len(keys), inside, again.total() - inside, time.monotonic() - began)


def free_port() -> int:
    """One of loopback that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_letters(server: MailServer, many: int) -> None:
    deadline, seen = time.monotonic() + _PATIENCE, len(server.messages)
    while len(server.messages) < many:
        if len(server.messages) > seen:
            deadline, seen = time.monotonic() + _PATIENCE, len(server.messages)
        assert time.monotonic() < deadline, f"no letter after {seen}"
        time.sleep(0.001)


def _await_no_client(server: MailServer) -> None:
    """What a client sent before it was killed is read after that, and counts as accepted."""
    deadline = time.monotonic() + _PATIENCE
    while server.clients:
        assert time.monotonic() < deadline, "the server still has a client"
        time.sleep(0.001)


def _key(server: MailServer, number: int) -> str:
    return str(server.messages[number].message["Message-ID"])


def _let_go_of_locks(db: Any, said: list[str]) -> None:
    """What the database does by itself within a minute of a client's death, long before the lease ends."""
    for line in [line for line in said if line.startswith("transaction ")][-1:]:
        with suppress(Exception):  # it had committed
            db._firestore_api.rollback({"database": db._database_string, "transaction": bytes.fromhex(line.split()[1])})


def work(name: str, ahead: timedelta) -> None:
    """Work on a campaign until it is complete, that much ahead of the present. Says which transactions begin."""
    from google.cloud.firestore_v1.services.firestore import FirestoreClient  # noqa: PLC0415

    from astra.notices import campaigns  # noqa: PLC0415
    from astra.runtime.clock import utc_now  # noqa: PLC0415
    from astra.runtime.platform import Platform  # noqa: PLC0415
    from notices import dispatch  # noqa: PLC0415
    from notices.settings import CampaignSettings  # noqa: PLC0415

    begin = FirestoreClient.begin_transaction

    def said(*args: Any, **kwargs: Any) -> Any:
        begun = begin(*args, **kwargs)
        print(f"transaction {begun.transaction.hex()}", flush=True)
        return begun

    FirestoreClient.begin_transaction = said  # type: ignore[method-assign]
    waited = timedelta(0)

    def clock() -> datetime:
        return utc_now() + ahead + waited

    platform = Platform(CampaignSettings, clock)
    queue: Any = Hints()
    while campaigns.completed_at(platform.db, name) is None:
        if not dispatch.deliver(platform, queue):
            waited += platform.settings.retry_delay
        due, queue.jobs = dict.fromkeys(queue.jobs), []
        for job in due:
            dispatch.notify(platform, queue, job, _HOUR)


class Hints:
    """Keeps what is due: the worker takes it itself."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def hint(self, job: str, at: datetime | None = None) -> bool:
        """Kept, unless it is for later."""
        if at is None:
            self.jobs.append(job)
        return True


if __name__ == "__main__":
    os.chdir(ROOT)
    work(sys.argv[1], timedelta(seconds=float(sys.argv[2])))
