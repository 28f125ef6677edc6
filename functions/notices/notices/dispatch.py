"""Dispatch: works on one job of a campaign, and returns lost jobs to the queue."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from google.cloud import firestore

from astra import jobs
from astra.notices import campaigns
from astra.notices.deliveries import DELIVERIES, LANE, LETTERS, OPENING, SHARDS
from astra.runtime import log
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Environment
from astra.runtime.task_queue import Queue

from notices.email import Mailing
from notices.in_app import Telling
from notices.settings import CampaignSettings

_MAX_JOBS: Final = 100


def notify(platform: Platform[CampaignSettings], queue: Queue, job: str, budget: timedelta) -> None:
    """Work on one job, `campaign/shard` or `letters`, until it has ended or waits, or `budget` is used up."""
    worker = jobs.Worker(platform.db, platform.clock, platform.settings.retry_delay)
    if job == LETTERS:
        _woken(platform, platform.clock())
        _come_back(queue, job, worker.run(_letters(platform), Mailing(platform, LETTERS, None).page, budget))
        return
    name, _, shard = job.partition("/")
    campaign = campaigns.reference(platform.db, name)
    try:
        campaigns.refuse_changed(campaign.get(["kind", "facts", "sample", "textSha256"]))
    except campaigns.Changed as error:
        log.failure(log.Event.FAILED, error)  # it stays due: `deliver` asks again, until what was approved is deployed
        return
    work: Mailing | Telling = Telling(platform, campaign, shard)
    if shard.startswith(LANE):
        work = Mailing(platform, job, campaign)
    again = worker.run(campaign.collection(SHARDS).document(shard), work.page, budget)
    _come_back(queue, job, again)
    if shard == OPENING and again is None:
        for other in jobs.due(campaign.collection(SHARDS), platform.clock()):
            queue.hint(f"{name}/{other}")


def deliver(platform: Platform[Environment], queue: Queue) -> int:
    """Hand every overdue job back to the queue. Answers how many there were."""
    found = list(_overdue(platform, platform.clock()))
    for job in found:
        queue.hint(job)
    if found:
        log.write(log.Event.JOBS_DUE, count=len(found))
    return len(found)


def _overdue(platform: Platform[Environment], now: datetime) -> Iterator[str]:
    due = firestore.FieldFilter("nextRunAt", "<=", now)
    overdue = platform.db.collection_group(SHARDS).where(filter=due).order_by("nextRunAt").limit(_MAX_JOBS)
    for stored in overdue.select([]).get():
        _, name, _, shard = stored.reference.path.split("/")
        yield f"{name}/{shard}"
    if any(_due(platform.db, now).get()) and _woken(platform, now):
        yield LETTERS


def _due(db: firestore.Client, now: datetime) -> firestore.Query:
    """A letter to a single person that is due."""
    in_lane, due = firestore.FieldFilter("lane", "==", LETTERS), firestore.FieldFilter("nextRunAt", "<=", now)
    letters = db.collection_group(DELIVERIES).where(filter=in_lane).where(filter=due)
    return letters.order_by("nextRunAt").select([]).limit(1)


def _woken(platform: Platform[Environment], now: datetime) -> bool:
    """Let letters to single people be sent. Answers whether nobody is at it, and it waits for nothing."""
    return transact(platform.db, partial(_wake, platform=platform, now=now))


def _wake(transaction: firestore.Transaction, platform: Platform[Environment], now: datetime) -> bool:
    lane = _letters(platform)
    fields: dict[str, Any] = lane.get(transaction=transaction).to_dict() or {}
    if fields.get("nextRunAt") is None:
        opened = jobs.opened(now, counts={})
        transaction.set(lane, opened | {"fence": fields.get("fence", 0)})
        return True
    if fields["nextRunAt"] <= now:
        return True
    # It may wait for a letter that was put off, and a new one is due before that; not for a server, or after a failure.
    if fields["leased"] or fields["attempts"] or fields.get("downs"):
        return False
    is_due = any(_due(platform.db, now).get(transaction=transaction))
    if is_due:
        transaction.update(lane, {"nextRunAt": now})
    return is_due


def _letters(platform: Platform[Environment]) -> firestore.DocumentReference:
    return platform.db.document("rounds", LETTERS)


def _come_back(queue: Queue, job: str, at: datetime | None) -> None:
    if at is not None:
        queue.hint(job, at)
