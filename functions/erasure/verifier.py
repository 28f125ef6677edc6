"""Looks for anything left of a person, by other ways than the ones that deleted it.

It shares the data map with the cascade and nothing else: it walks collections instead of querying descendants, scans
the whole Redis keyspace instead of reading an index, and starts each time from the beginning.
"""

from collections import Counter
from collections.abc import Iterator

from firebase_admin import auth
from google.cloud import firestore

from astra.datamap import DATA_MAP, Disposition, Entry, Store, Subject
from astra.platform import Platform
from astra.settings import ErasureSettings


def remaining(platform: Platform[ErasureSettings], person: Subject) -> "Counter[str]":
    """How much of each entry is still there. Empty means: nothing."""
    left: Counter[str] = Counter()
    for entry in DATA_MAP:
        path = person.place(entry)
        if entry.disposition is not Disposition.DELETE or path is None:
            continue
        match entry.store:
            case Store.STORAGE:
                count = sum(1 for _ in platform.bucket.list_blobs(prefix=path, versions=True))
            case Store.REDIS:
                count = sum(1 for key in platform.redis.scan_iter(count=1000) if key.startswith(path))
            case Store.FIRESTORE:
                count = _documents(platform.db, path, entry, person)
            case Store.VAULT:
                count = _documents(platform.vault_db, path, entry, person)
            case Store.AUTH:
                count = int(_has_account(platform, person.uid))
        if count:
            left[entry.name] = count
    return left


def _documents(db: firestore.Client, path: str, entry: Entry, person: Subject) -> int:
    """Documents at `path` and below. A path that ends with a slash is a collection."""
    if path.endswith("/"):
        return sum(_tree(document) for document in db.collection(path.rstrip("/")).list_documents())
    fields = db.document(path).get().to_dict()
    if fields is not None and not person.owns(entry, fields):
        return 0
    return _tree(db.document(path))


def _tree(document: firestore.DocumentReference) -> int:
    below: Iterator[int] = (
        _tree(child) for collection in document.collections() for child in collection.list_documents()
    )
    return int(document.get(["__name__"]).exists) + sum(below)


def _has_account(platform: Platform[ErasureSettings], uid: str) -> bool:
    found = auth.get_users([auth.UidIdentifier(uid)], app=platform.app)
    return bool(found.users)
