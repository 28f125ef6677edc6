"""The schedule `sweep`: a job for each kind of expired data, every hour.

rounds/sweep-{entry}, rounds/restamp-{entry}   jobs, with what the last round did in `counts`
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from google.cloud import firestore

from astra.datamap import expiry
from astra.jobs import Page, Worker, opened
from astra.runtime import log
from astra.runtime.clock import Clock
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform

from retention import objects_and_keys, restamp
from retention.documents import Rows
from retention.inactivity import Inactive
from retention.settings import RetentionSettings

_TURN_DURATION: Final = timedelta(minutes=1)
_MAX_WAIT: Final = timedelta(hours=2)
"""No worker makes a job wait for longer."""


class Kind(Protocol):
    """One kind of what outlives its time."""

    def is_due(self) -> bool:
        """Whether there is anything to do, at the cost of one read."""

    def page(self, job: dict[str, Any]) -> Any:
        """The next page of its job."""


def reference(db: firestore.Client, name: str) -> firestore.DocumentReference:
    """The job of a sweep, or of stamping anew: `sweep-events`, `restamp-events`."""
    return db.document("rounds", name)


def sweep(platform: Platform[RetentionSettings], budget: timedelta, ahead: timedelta = timedelta(0)) -> None:
    """Do all that is due, for up to `budget`, taking turns. `ahead`, for drills: as it will be due then."""
    deadline = platform.clock() + budget

    def now() -> datetime:
        return platform.clock() + ahead

    begun = _restamps(platform, now) | _sweeps(platform, now)
    worker = Worker(platform.db, platform.clock, platform.settings.retry_delay)
    turns = deque(begun)
    while turns and platform.clock() < deadline:
        name = turns.popleft()
        again = worker.run(reference(platform.db, name), begun[name], min(_TURN_DURATION, budget))
        if again is not None and again <= platform.clock():
            turns.append(name)


def kinds(platform: Platform[RetentionSettings], now: Clock) -> dict[str, Kind]:
    """All that is swept, by the names of the jobs. Each knows for one round what it could not do."""
    found: dict[str, Kind] = {f"sweep-{entry.name}": Rows(platform, entry, now) for entry in expiry.entries()}
    for entry in objects_and_keys.folders():
        found[f"sweep-{entry.name}"] = objects_and_keys.Folder(platform, entry, now)
    return found | {"sweep-redis": objects_and_keys.Keys(platform, now), "sweep-inactive": Inactive(platform, now)}


def _sweeps(platform: Platform[RetentionSettings], now: Clock) -> dict[str, Page]:
    """The jobs of what is due, and those that are not done yet."""
    found: dict[str, Page] = {}
    sweeps = kinds(platform, now)
    for (name, kind), job in zip(sweeps.items(), _jobs(platform, sweeps), strict=True):
        if job.get("state", "ended") != "ended" or _is_due(kind):
            begin(platform, name, {"cursor": None, "counts": {}})
            found[name] = kind.page
    return found


def _is_due(kind: Kind) -> bool:
    try:
        return kind.is_due()
    except Exception as error:  # noqa: BLE001  (its job will fail and say so; the others have their turn)
        log.failure(log.Event.FAILED, error)
        return True


def _restamps(platform: Platform[RetentionSettings], now: Clock) -> dict[str, Page]:
    """The jobs of entries whose life has changed since all their rows were gone through, or that are not done yet."""
    lives = restamp.lives(platform)
    entries = {entry.name: entry for entry in expiry.lasting()}
    names = [f"restamp-{name}" for name in lives]
    found: dict[str, Page] = {}
    for (name, life), job_name, job in zip(lives.items(), names, _jobs(platform, names), strict=True):
        changed, again = job.get("life") != life, job.get("again")
        if not changed and job.get("nextRunAt") is None and (again is None or again > platform.clock()):
            continue
        fields = restamp.once_more(life) if again and not changed else restamp.changed(life)
        begin(platform, job_name, fields, anew=changed)
        whole = name == restamp.PROFILE
        kind = restamp.Presences(platform, now) if whole else restamp.Restamp(platform, entries[name], now)
        found[job_name] = kind.page
    return found


def _jobs(platform: Platform[RetentionSettings], names: Iterable[str]) -> list[dict[str, Any]]:
    jobs = fetch(platform.db, *(reference(platform.db, name) for name in names))
    return [job.to_dict() or {} for job in jobs]


def begin(platform: Platform[RetentionSettings], name: str, fields: dict[str, Any], *, anew: bool = False) -> None:
    """Make a job due, with a new round's `fields` if its last one has ended or is to begin `anew`.

    One that is under way, waits after a failure, or is stuck, is left alone; but not one that waits for longer than any
    worker would have it wait: that was a clock that ran ahead.
    """
    job, now = reference(platform.db, name), platform.clock()

    def body(transaction: firestore.Transaction) -> None:
        stored = job.get(transaction=transaction).to_dict()
        if stored is None:
            transaction.create(job, opened(now, **fields))
        elif anew or stored["state"] == "ended":
            fence = stored["fence"] + 1  # whoever is still at it stops
            transaction.set(job, {**opened(now, **fields), "fence": fence, "createdAt": stored["createdAt"]})
        elif stored["nextRunAt"] is not None and stored["nextRunAt"] > now + _MAX_WAIT:
            transaction.update(job, {"nextRunAt": now, "leased": False})

    transact(platform.db, body)
