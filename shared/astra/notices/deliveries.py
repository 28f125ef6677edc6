"""Deliveries: a campaign's shards, and the row of each recipient.

See `campaigns` for the documents. Fanning out is the breach codebase's; this is what it shares with who starts one.
"""

import enum
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra import jobs
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

SHARDS: Final = "shards"
DELIVERIES: Final = "deliveries"
OPENING: Final = "opening"
LANE: Final = "mail-"
NEWCOMERS: Final = "newcomers-"
LETTERS: Final = "letters"
"""The lane of letters that belong to no campaign."""
LANES: Final = 4
"""How many workers send a campaign's letters at a time."""
_MAX_JOBS: Final = 16
MAX_MEMBERS_OF_ONE_JOB: Final = 2_000
"""So many members need no second job."""
_JOB_MEMBERS: Final = 100_000
"""So many members a job has, if it can be."""
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What account ids are made of, at random, in the database's order."""


class DeliveryState(enum.StrEnum):
    """The state of one delivery."""

    QUEUED = "queued"
    """To be sent."""
    ACCEPTED = "accepted"
    """A mail server has it."""
    DELIVERED = "delivered"
    """The mail server says that it is in the mailbox, or there is no e-mail but a notice in the application."""
    BOUNCED = "bounced"
    """Refused for good: a notice in the application replaces it."""
    FAILED = "failed"
    """Refused too often: a notice in the application replaces it."""
    GONE = "gone"
    """The recipient was erased meanwhile."""


def going(now: datetime, members: int = 0, steps: int = 0) -> dict[str, Any]:
    """The fields of a campaign that is let go, with so much done of it; see `progress` for what a step is."""
    return {"goingSince": now, "goingFrom": {"members": members, "steps": steps}}


def open_ranges(
    batch: firestore.WriteBatch, campaign: firestore.DocumentReference, count: int, after: str, now: datetime
) -> None:
    """Have everybody from `after` on told: by as many jobs as so many members need."""
    ranges = min(_MAX_JOBS, math.ceil(count / _JOB_MEMBERS))
    bounds = [_ALPHABET[number * len(_ALPHABET) // ranges] for number in range(1, ranges)]
    for number, (first, end) in enumerate(zip(["", *bounds], [*bounds, None], strict=True)):
        if end is None or end > after:
            batch.create(campaign.collection(SHARDS).document(f"{number:02}"), shard(now, max(first, after), end))


def open_newcomers(
    batch: firestore.WriteBatch, campaign: firestore.DocumentReference, number: int, since: datetime, now: datetime
) -> None:
    """Have those told who signed up `since` it was stopped, now that it goes on for the `number`th time, from 0 on."""
    job = shard(now, "", None) | {"since": since, "until": now}
    batch.create(campaign.collection(SHARDS).document(f"{NEWCOMERS}{number}"), job)


def shard(now: datetime, first: str, end: str | None) -> dict[str, Any]:
    """A new job for the account ids from `first` until before `end`."""
    return jobs.opened(now, first=first, end=end, cursor=first, root="0" * 64, counts={})


def row_of(db: firestore.Client, uid: str, name: str) -> firestore.DocumentReference:
    """Where the row of one delivery is."""
    return db.document("users", uid, DELIVERIES, name)


def row(
    platform: Platform[Settings],
    uid: str,
    name: str,
    facts: Mapping[str, str],
    now: datetime,
    due: datetime | None,
    campaign: str | None,
) -> dict[str, Any]:
    """A new row of the ledger, whose letter is `due` then, or not yet."""
    key = platform.pseudonyms.of_delivery(uid, name)
    return {
        "campaign": campaign,
        "facts": dict(facts),
        "lane": f"{campaign}/{LANE}{int(key[:8], 16) % LANES}" if campaign else LETTERS,
        "state": DeliveryState.QUEUED.value,
        "key": key,
        "attempts": 0,
        "deferred": 0,
        "nextRunAt": due,
        "createdAt": now,
    }
