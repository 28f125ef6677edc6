"""Look-up in the data map: to which entry and account a path belongs."""

import functools
from datetime import timedelta

from astra.datamap.model import Entry, Store
from astra.datamap.table import DATA_MAP


def claimant(store: Store, path: str) -> Entry | None:
    """The entry that `path` in `store` belongs to."""
    return next((entry for entry in _as_deep(store, path.count("/")) if entry.claims(path)), None)


@functools.cache
def _as_deep(store: Store, depth: int) -> list[Entry]:
    """The entries whose paths have so many parts: what stands for anything stands for no slash."""
    return [entry for entry in DATA_MAP if entry.store is store and entry.where.count("/") == depth]


def name_of(store: Store, path: str) -> str:
    """The name of the entry that `path` belongs to, or `unmapped-` and the store's."""
    return entry.name if (entry := claimant(store, path)) else f"unmapped-{store}"


@functools.lru_cache(maxsize=8192)  # who is read of is read of again
def owner(store: Store, path: str) -> tuple[Entry, str] | None:
    """The entry that `path` belongs to and the account id in it, if it names one."""
    entry = claimant(store, path)
    uid = entry.owner(path) if entry else None
    return (entry, uid) if entry and uid else None


def lives(name: str) -> timedelta:
    """How long one of the entry called `name` lives, which must be fixed."""
    [life] = [entry.lives for entry in DATA_MAP if entry.name == name and entry.lives]
    return life
