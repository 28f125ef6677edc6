"""Contenders in deleting a person, each started by `bench.erase` as a process of its own. Prints JSON."""

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from astra import erasure, jobs
from astra.runtime.clock import utc_now
from astra.runtime.platform import Platform
from bench.wire import Meter
from erasure import cascade, descendants
from erasure.settings import ErasureSettings

_HOUR = timedelta(hours=1)
_PATIENCE = 180
"""Seconds."""
_BARE_PAGE = 500  # the most that a commit takes


class Clock:
    """The present, or so far ahead of it as is said."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


def platform(ahead: timedelta = timedelta(0)) -> Any:
    """The engine's collaborators, at the present or `ahead` of it."""
    return Platform(ErasureSettings, Clock(ahead))


def erase(over: Any, uid: str) -> None:
    """From the request to the pause before the verification: everything is deleted by then."""
    erasure.begin(over, uid, over.clock())
    subject = over.pseudonyms.of_uid(uid)
    job = erasure.reference(over.db, subject)
    worker = jobs.Worker(over.db, over.clock, over.settings.retry_delay)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        again = worker.run(job, cascade.Cascade(over, subject).page, _HOUR)
        if job.get(["step"]).get("step") == "verify":
            return
        # What a killed worker had locked, the emulator lets go of only after a while: no claim, or a page that failed.
        if again is None:
            time.sleep(1)
        else:
            over.clock.ahead += max(again - over.clock(), timedelta(0))
    raise AssertionError("it does not get there")


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ours(warm: str, uid: str) -> list[float]:
    """The engine: seconds, and the process's peak of memory in MiB."""
    over = platform()
    erase(over, warm)
    taken = seconds(lambda: erase(over, uid))
    return [taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


def bare(warm: str, uid: str) -> list[float]:
    """The same query and the same batch in a loop, and nothing else: no job, no other store."""
    db = platform().db

    def loop(of: str) -> None:
        root = db.document(f"users/{of}")
        while page := descendants.page(db, root.path, _BARE_PAGE):
            batch = db.batch()
            for path in page:
                batch.delete(db.document(path))
            batch.commit()
        root.delete()

    loop(warm)
    return [seconds(lambda: loop(uid))]


def counted(uid: str) -> list[int]:
    """The engine: reads and writes from the request to the pause, with one read of ours that sees that it got there."""
    meter = Meter()
    erase(platform(), uid)
    return [meter.reads, meter.writes]


def announced(uid: str, hours_ahead: str) -> list[int]:
    """The engine, saying before each commit how many deletes leave with it: it may be killed at any of them."""
    Meter(lambda deletes: deletes and print(json.dumps([deletes]), flush=True))
    erase(platform(timedelta(hours=int(hours_ahead))), uid)
    return [0]


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    print(json.dumps({"ours": ours, "bare": bare, "counted": counted, "announced": announced}[name](*words)))
