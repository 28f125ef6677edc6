"""Whose a document, an object or a key is, by the data map."""

import functools
import re
from datetime import timedelta

from astra.datamap import DATA_MAP
from astra.entries import Entry, Store


def claimant(store: Store, path: str) -> Entry | None:
    """The entry that `path` in `store` belongs to."""
    entries, pattern = _patterns(store)
    found = pattern.fullmatch(path)
    return entries[found.lastindex - 1] if found and found.lastindex else None


@functools.cache
def _patterns(store: Store) -> tuple[list[Entry], re.Pattern[str]]:
    """The entries of a store, and one pattern with a group for each: it is asked about each of very many documents."""
    entries = [entry for entry in DATA_MAP if entry.store is store]
    return entries, re.compile("|".join(f"({entry.pattern.pattern})" for entry in entries))


def name_of(store: Store, path: str) -> str:
    """The name of the entry that `path` belongs to, or `unmapped-` and the store's."""
    return entry.name if (entry := claimant(store, path)) else f"unmapped-{store}"


def owner(store: Store, path: str) -> tuple[Entry, str] | None:
    """The entry that `path` belongs to and the account id in it, if it names one."""
    entry = claimant(store, path)
    uid = entry.owner(path) if entry else None
    return (entry, uid) if entry and uid else None


def lives(name: str) -> timedelta:
    """How long one of the entry called `name` lives, which must be fixed."""
    [life] = [entry.lives for entry in DATA_MAP if entry.name == name and entry.lives]
    return life
