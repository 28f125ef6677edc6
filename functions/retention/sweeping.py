"""The sweep: every hour all that has outlived its time goes, each kind by a job of its own.

rounds/sweep-{entry}, rounds/restamp-{entry}   jobs, with what the last round did in `counts`
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

import restamping
from astra import expiry, leftovers, retention
from astra.clock import Clock
from astra.documents import fetch
from astra.inactivity import Inactive
from astra.jobs import Page, Worker, opened
from astra.platform import Platform
from astra.settings import RetentionSettings
from astra.sweep import Rows
from astra.transactions import transact

_TURN: Final = timedelta(minutes=1)
_LATEST: Final = timedelta(hours=2)
"""No worker makes a job wait for longer."""


def sweep(platform: Platform[RetentionSettings], budget: timedelta, ahead: timedelta = timedelta(0)) -> None:
    """Do all that is due, for up to `budget`, taking turns. `ahead`, for drills: as it will be due then."""
    deadline = platform.clock() + budget

    def now() -> datetime:
        return platform.clock() + ahead

    sweeps = pages(platform, now)
    for name in sweeps:
        begin(platform, name, {"cursor": None, "counts": {}})
    begun = {**_restamps(platform, now), **sweeps}
    worker = Worker(platform.db, platform.clock, platform.settings.retry_delay)
    turns = deque(begun)
    while turns and platform.clock() < deadline:
        name = turns.popleft()
        again = worker.run(retention.reference(platform.db, name), begun[name], min(_TURN, budget))
        if again is not None and again <= platform.clock():
            turns.append(name)


def pages(platform: Platform[RetentionSettings], now: Clock) -> dict[str, Page]:
    """The jobs of a round, each with its pages, which know what they could not do in this round."""
    found: dict[str, Page] = {f"sweep-{entry.name}": Rows(platform, entry, now).page for entry in expiry.entries()}
    for entry in leftovers.folders():
        found[f"sweep-{entry.name}"] = leftovers.Folder(platform, entry, now).page
    found["sweep-redis"] = leftovers.Keys(platform, now).page
    found["sweep-inactive"] = Inactive(platform, now).page
    return found


def _restamps(platform: Platform[RetentionSettings], now: Clock) -> dict[str, Page]:
    """The jobs of entries whose life has changed since all their rows were gone through, or that are not done yet."""
    lives = restamping.lives(platform)
    entries = {entry.name: entry for entry in expiry.entries()}
    jobs = fetch(platform.db, *(retention.reference(platform.db, f"restamp-{name}") for name in lives))
    found: dict[str, Page] = {}
    for name, job in zip(lives, jobs, strict=True):
        fields = job.to_dict() or {}
        if fields.get("life") == lives[name] and fields["nextRunAt"] is None:
            continue
        begin(platform, job.id, restamping.changed(lives[name]), anew=fields.get("life") != lives[name])
        if name == restamping.PROFILE:
            found[job.id] = restamping.Presences(platform, now).page
        else:
            found[job.id] = restamping.Restamp(platform, entries[name], now).page
    return found


def begin(platform: Platform[RetentionSettings], name: str, fields: dict[str, Any], *, anew: bool = False) -> None:
    """Make a job due, with a new round's `fields` if its last one has ended or is to begin `anew`.

    One that is under way, waits after a failure, or is stuck, is left alone; but not one that waits for longer than any
    worker would have it wait: that was a clock that ran ahead.
    """
    job, now = retention.reference(platform.db, name), platform.clock()

    def body(transaction: firestore.Transaction) -> None:
        stored = job.get(transaction=transaction).to_dict()
        if stored is None:
            transaction.create(job, opened(now, **fields))
        elif anew or stored["state"] == "ended":
            fence = stored["fence"] + 1  # whoever is still at it stops
            transaction.set(job, {**opened(now, **fields), "fence": fence, "createdAt": stored["createdAt"]})
        elif stored["nextRunAt"] is not None and stored["nextRunAt"] > now + _LATEST:
            transaction.update(job, {"nextRunAt": now, "leased": False})

    transact(platform.db, body)
