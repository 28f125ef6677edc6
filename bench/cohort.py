"""Benchmark: counting affected people, from the audit log to a frozen cohort."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import OFFSET
from bench.child import measured, say
from local.stack.stack import Stack

_AFFECTED = 1_000
#: How many have an account. Seeding a million takes the emulator a quarter of an hour: COHORT_USERS=1000000 does.
_USERS = int(os.environ.get("COHORT_USERS", "100000"))
_FEW = 10_000
_BATCH = 500
_WHO = "uploads-functions@demo-astra.iam.gserviceaccount.com"


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore"), offset=OFFSET, timer=None) as stack:
        stack.google.entries += _evidence()
        yield from measured(stack, "breach", "bench.cohort")


def uid_of(number: int) -> str:
    """Account ids as Auth makes them: anywhere in their order."""
    return f"{(number * 7919) % 10_000_019:08}{number:020}"


def _evidence() -> list[dict[str, Any]]:
    from local.stand_ins import audit_log  # noqa: PLC0415

    at = datetime.now(UTC) - timedelta(hours=1)
    every = _FEW // _AFFECTED
    return json.loads(  # type: ignore[no-any-return]
        json.dumps([audit_log.read(at, _WHO, f"users/{uid_of(number * every)}") for number in range(_AFFECTED)])
    )


def seed(db: Any, first: int, end: int) -> None:
    """Profiles, as small as they may be."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    now = datetime.now(UTC)

    def write(start: int) -> None:
        batch = db.batch()
        for number in range(start, min(start + _BATCH, end)):
            batch.set(db.document("users", uid_of(number)), {"state": "active", "createdAt": now, "jurisdiction": "DE"})
        batch.commit()

    with ThreadPoolExecutor(4) as hands:
        list(hands.map(write, range(first, end, _BATCH)))


def measure() -> Iterator[str]:
    """The same evidence among few users and among very many."""
    from bench.wire import Meter  # noqa: PLC0415

    meter = Meter()
    from astra import jobs  # noqa: PLC0415  (the child's imports: the environment is the stack's)
    from astra.runtime.platform import Platform  # noqa: PLC0415
    from breach import incidents  # noqa: PLC0415  (the child's imports: the environment is the stack's)
    from breach.assessment.affected import Gathering, opened  # noqa: PLC0415
    from breach.settings import AssessmentSettings  # noqa: PLC0415

    platform: Any = Platform(AssessmentSettings)
    db, found = platform.db, {}
    for users, since in ((_FEW, 0), (_USERS, _FEW)):
        seed(db, since, users)
        name, now = f"{users:020x}", platform.clock()
        fields = {"state": "confirmed", "occurredFrom": now - timedelta(days=1), "occurredUntil": now, "awareAt": now}
        fields |= {"serviceAccounts": [_WHO], "keysExposed": False, "credentialsExposed": False, "cohort": "gathering"}
        incidents.reference(db, name).set(incidents.opened(**fields, detector="reported", signals={}))
        incidents.cohort_job(db, name).set(opened(now, known=False))
        worker = jobs.Worker(db, platform.clock, platform.settings.retry_delay)
        before, began = (meter.reads, meter.writes), time.perf_counter()
        worker.run(incidents.cohort_job(db, name), Gathering(platform, name).page, timedelta(minutes=10))
        seconds = time.perf_counter() - began
        found[users] = (seconds, meter.reads - before[0], meter.writes - before[1])
        counted = incidents.reference(db, name).get().to_dict() or {}
        assert counted["affected"] == {"DE": _AFFECTED}, counted
    (few, few_reads, _), (many, reads, writes) = found[_FEW], found[_USERS]
    much = writes / _AFFECTED
    yield f"cohort: {many:.1f} s for {_AFFECTED} of {_USERS} (baseline {few:.1f} s of {_FEW}, ratio {many / few:.2f})"
    yield f"cohort-reads: {reads} reads of {_USERS} (baseline {few_reads} of {_FEW}, ratio {reads / few_reads:.2f})"
    yield f"cohort-writes: {much:.1f} writes an affected person (baseline 1 row, ratio {much:.2f})"


if __name__ == "__main__":
    for line in measure():
        say(line)
