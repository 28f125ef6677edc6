"""A process that erases somebody and kills itself at a given moment: before or after any of its requests."""

import itertools
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import redis
import requests
from google.api_core.gapic_v1.method import _GapicCallable
from google.cloud.firestore_v1.types import BeginTransactionResponse

from astra import jobs
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from erasure import cascade, documents, objects
from erasure.settings import ErasureSettings
from tests.support.people import settle

BUDGET = timedelta(minutes=1)
#: What every request to a store passes: Firestore, Auth and Storage, Redis, Replicate.
_DOORS: list[tuple[Any, str]] = [
    (_GapicCallable, "__call__"),
    (requests.Session, "send"),
    (redis.Redis, "execute_command"),
    (httpx.Client, "send"),
]


def work(project: str, subject: str, now: datetime, diary: Path, page: int, moment: int) -> None:
    """Erase `subject` to the end, with the waiting skipped, or until the `moment`-th moment.

    Writes a line into `diary` for each page and each transaction that begins, and one for each moment.
    """
    objects._PAGE_OBJECTS = documents._PAGE_DOCUMENTS = page  # type: ignore[misc]
    platform = Platform(ErasureSettings, lambda: now)
    settle(platform, project)
    moments = itertools.count(1)

    def pass_moment() -> None:
        write(diary, "moment")
        if next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in _DOORS:
        setattr(owner, name, _between(getattr(owner, name), pass_moment, diary))
    job = platform.db.collection("erasures").document(subject)
    erase = cascade.Cascade(platform, Pseudonym(subject)).page
    worker = jobs.Worker(platform.db, platform.clock, timedelta(seconds=1))
    due: datetime | None = now
    while due:
        now = due
        due = worker.run(job, noting(erase, diary), BUDGET)


def noting(page: jobs.Page, diary: Path) -> jobs.Page:
    """`page`, with a line in `diary` whenever it begins."""

    def noted(job: dict[str, Any]) -> Any:
        write(diary, f"page {job['step']}")
        return page(job)

    return noted


def write(diary: Path, line: str) -> None:
    """Append to what a killed process leaves behind."""
    with diary.open("a") as book:
        book.write(line + "\n")


def _between(call: Callable[..., Any], pass_moment: Callable[[], None], diary: Path) -> Callable[..., Any]:
    def passed(*args: Any, **kwargs: Any) -> Any:
        pass_moment()
        answer = call(*args, **kwargs)
        if isinstance(answer, BeginTransactionResponse):
            write(diary, f"transaction {answer.transaction.hex()}")
        pass_moment()
        return answer

    return passed
