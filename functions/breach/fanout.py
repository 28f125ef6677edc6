"""The handlers of the fan-out: work on one job, find what was lost."""

from datetime import timedelta
from typing import Final

from google.cloud import firestore

from astra import campaigns, jobs, log
from astra.cohorts import OPENING, SHARDS
from astra.platform import Platform
from astra.queue import Queue
from astra.settings import BreachSettings
from telling import Telling

_MOST: Final = 100


def notify(platform: Platform[BreachSettings], queue: Queue, job: str, budget: timedelta) -> None:
    """Work on one job, `campaign/shard`, until it has ended or waits, or `budget` is used up."""
    name, _, shard = job.partition("/")
    campaign = campaigns.reference(platform.db, name)
    worker = jobs.Worker(platform.db, platform.clock, platform.settings.retry_delay)
    page = Telling(platform, campaign, shard).page
    again = worker.run(campaign.collection(SHARDS).document(shard), page, budget)
    if again is not None:
        queue.hint(job, again)
    elif shard == OPENING:
        for other in jobs.due(campaign.collection(SHARDS), platform.clock()):
            queue.hint(f"{name}/{other}")


def tick(platform: Platform[BreachSettings], queue: Queue) -> int:
    """Hand every overdue job back to the queue. Answers how many there were."""
    overdue = (
        platform.db.collection_group(SHARDS)
        .where(filter=firestore.FieldFilter("nextRunAt", "<=", platform.clock()))
        .order_by("nextRunAt")
        .limit(_MOST)
    )
    found = [stored.reference.path.split("/") for stored in overdue.select([]).stream()]
    for _, name, _, shard in found:
        queue.hint(f"{name}/{shard}")
    if found:
        log.write(log.Event.JOBS_DUE, count=len(found))
    return len(found)
