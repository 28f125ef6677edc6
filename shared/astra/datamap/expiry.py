"""Expiry: `expireAt` and `expiredAt` of documents.

expireAt    from then on nobody gets it, and the sweep deletes it
expiredAt   since when it is hidden although it is kept, for a legal hold, or because its deletion is under way:
            `expireAt` then says when the sweep looks at it again

Hidden is what is asked for by itself: rules don't filter. A list of its owner's has what has expired until it is
deleted, unless its query asks for `expireAt > now`, and what is kept for a hold in any case.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra.datamap.model import Entry, Store
from astra.datamap.table import DATA_MAP

EXPIRES: Final = "expireAt"
EXPIRED: Final = "expiredAt"


def has_expired(fields: dict[str, Any], now: datetime) -> bool:
    """Whether nobody may be served a document any more, by its fields."""
    return EXPIRED in fields or (EXPIRES in fields and bool(fields[EXPIRES] <= now))


def entries() -> list[Entry]:
    """All whose documents expire."""
    return [entry for entry in DATA_MAP if entry.expires]


def lasting() -> list[Entry]:
    """All whose documents are somebody's and could have a life, whether they have one or not."""
    somebodys = (entry for entry in DATA_MAP if entry.store is Store.FIRESTORE and "{uid}" in entry.where)
    return [entry for entry in somebodys if not entry.passing]


def everybodys(db: firestore.Client, entry: Entry) -> firestore.CollectionReference | firestore.CollectionGroup:
    """All documents of `entry`, whoever's they are, and those of collections that are called alike."""
    *above, name, _ = entry.where.split("/")
    return db.collection_group(name) if above else db.collection(name)


def began(entry: Entry, fields: dict[str, Any]) -> datetime | None:
    """From when the life of one of `entry` counts; None if nothing in it says."""
    return min(_moments(entry.since, fields), default=None)


def _moments(names: Iterable[str], fields: dict[str, Any]) -> list[datetime]:
    found = []
    for name in names:
        outer, _, inner = name.partition(".")
        values = [one.get(inner) for one in fields.get(outer, [])] if inner else [fields.get(outer)]
        found += [value for value in values if isinstance(value, datetime)]
    return found
