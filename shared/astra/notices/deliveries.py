"""Deliveries: a campaign's shards, and the row of each recipient.

See `campaigns` for the documents. Fanning out is the breach codebase's; this is what it shares with who starts one.
"""

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
LETTER_STATES: Final = ("queued", "accepted", "delivered", "bounced", "failed", "gone")
"""queued: to be sent; accepted: a mail server has it; delivered: it says it is in the mailbox, or there was no letter
and they are told in the application; bounced: refused for good, failed: refused too often, and both are told in the
application instead; gone: erased meanwhile."""
LANES: Final = 4
"""How many workers send a campaign's letters at a time."""
_MOST_RANGES: Final = 16
FEW: Final = 2_000
"""So many members need no second job."""
_RANGE: Final = 100_000
"""So many members a job has, if it can be."""
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What account ids are made of, at random, in the database's order."""


def going(now: datetime, members: int = 0, steps: int = 0) -> dict[str, Any]:
    """The fields of a campaign that is let go, with so much done of it; see `campaign_desk` for what a step is."""
    return {"goingSince": now, "goingFrom": {"members": members, "steps": steps}}


def open_ranges(
    batch: firestore.WriteBatch, campaign: firestore.DocumentReference, count: int, after: str, now: datetime
) -> None:
    """Have everybody from `after` on told: by as many jobs as so many members need."""
    ranges = min(_MOST_RANGES, math.ceil(count / _RANGE))
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
        "state": "queued",
        "key": key,
        "attempts": 0,
        "deferred": 0,
        "nextRunAt": due,
        "createdAt": now,
    }
