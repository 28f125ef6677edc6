"""Stale objects in Storage and keys in Redis that bear no expiry of their own.

Uploads that were never taken up, though `uploads` does so for a day: where they arrive nothing stays, so that a listing
of all is a listing of what is wrong. And keys of Redis without a time to live, which only come back from a backup or
from somebody's hand: its whole keyspace is what was used within the hour. What belongs to nobody in any other place is
the roll call's to find.

The log's entry follows the deletion, which is in another store: of what a crash comes between, it is missing.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import firestore

from astra.datamap.lookup import claimant
from astra.datamap.model import Entry, Store
from astra.datamap.table import DATA_MAP
from astra.jobs import Atomic
from astra.runtime import log
from astra.runtime.clock import Clock
from astra.runtime.platform import Platform
from astra.runtime.settings import RedisSettings, Settings

from retention.documents import ENDED, note

if TYPE_CHECKING:
    from google.cloud.storage import Blob

_THREADS: Final = 8
_SCAN_KEYS: Final = 1000
_TIMEOUT_SECONDS: Final = 20
_COUNTERS: Final = "rate:"
"""Keys of ours that are nobody's."""


def folders() -> list[Entry]:
    """The entries whose objects have a life."""
    return [entry for entry in DATA_MAP if entry.store is Store.STORAGE and entry.lives]


def stale(platform: Platform[Settings], entry: Entry, now: datetime) -> "Iterator[Blob]":
    """The objects of `entry` that have outlived their time."""
    assert entry.lives is not None  # noqa: S101  (one of `folders`)
    for blob in platform.bucket.list_blobs(
        prefix=entry.where.split("{", 1)[0], versions=True, timeout=_TIMEOUT_SECONDS
    ):
        if blob.time_created <= now - entry.lives:
            yield blob


def forgotten(platform: Platform[RedisSettings]) -> Iterator[str]:
    """Keys of ours that would never go by themselves."""
    page: list[str] = []
    for key in platform.redis.scan_iter(count=_SCAN_KEYS):
        page.append(str(key))
        if len(page) == _SCAN_KEYS:
            yield from _lasting(platform, page)
            page = []
    yield from _lasting(platform, page)


class Folder:
    """The sweep of one entry's objects. A job's page; see `jobs`."""

    def __init__(self, platform: Platform[Settings], entry: Entry, now: Clock) -> None:
        self._platform, self._entry, self._now = platform, entry, now

    def is_due(self) -> bool:
        """Whether there is anything stale."""
        return any(True for _ in stale(self._platform, self._entry, self._now()))

    def page(self, job: dict[str, Any]) -> Atomic:
        """Delete what is stale, and note it."""
        with ThreadPoolExecutor(_THREADS) as hands:
            counts = sum(hands.map(_delete, stale(self._platform, self._entry, self._now())), Counter[str]())
        return _noted(self._platform, self._entry, job, counts, self._now())


class Keys:
    """The sweep of Redis. A job's page."""

    def __init__(self, platform: Platform[RedisSettings], now: Clock) -> None:
        self._platform, self._now = platform, now
        [self._entry] = [entry for entry in DATA_MAP if entry.store is Store.REDIS]

    def is_due(self) -> bool:
        """Whether there is anything forgotten."""
        return any(True for _ in forgotten(self._platform))

    def page(self, job: dict[str, Any]) -> Atomic:
        """Delete what is forgotten, and note it."""
        deleted = sum(self._platform.redis.unlink(key) for key in forgotten(self._platform))
        return _noted(self._platform, self._entry, job, +Counter(deleted=deleted), self._now())


def _lasting(platform: Platform[RedisSettings], keys: list[str]) -> list[str]:
    pipeline = platform.redis.pipeline(transaction=False)
    for key in keys:
        pipeline.pttl(key)
    lasting = [key for key, left in zip(keys, pipeline.execute() if keys else (), strict=True) if left == -1]
    return [key for key in lasting if key.startswith(_COUNTERS) or claimant(Store.REDIS, key)]


def _delete(blob: "Blob") -> "Counter[str]":
    try:
        blob.delete(if_generation_match=blob.generation, retry=None, timeout=_TIMEOUT_SECONDS)
    except NotFound:
        return Counter()
    except (GoogleAPIError, OSError) as error:  # the next sweep tries again
        log.failure(log.Event.SWEEP_SKIPPED, error)
        return Counter(skipped=1)
    return Counter(deleted=1)


def _noted(
    platform: Platform[Settings], entry: Entry, job: dict[str, Any], counts: "Counter[str]", until: datetime
) -> Atomic:
    if counts:
        log.write(log.Event.SWEPT, **counts)

    def write(transaction: firestore.Transaction, _: Any) -> dict[str, Any]:
        note(transaction, platform, entry, counts, until)
        return {**ENDED, "counts": dict(Counter(job["counts"]) + counts)}

    return Atomic(write)
