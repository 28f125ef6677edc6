"""Looks for anything left of a person, by other ways than the ones that deleted it.

It shares the data map with the cascade and nothing else: it walks collections instead of querying descendants, scans
the whole Redis keyspace instead of reading an index, and starts each time from the beginning.
"""

from collections import Counter
from collections.abc import Iterator

from firebase_admin import auth
from google.cloud import firestore

from artefacts import Artefacts
from astra.datamap import DATA_MAP, name_of
from astra.entries import Entry, Store, Subject
from astra.platform import Platform
from astra.settings import ErasureSettings


def found(platform: Platform[ErasureSettings], person: Subject, files: list[str]) -> "Counter[str]":
    """How much of each entry is still there, `files` being those that Replicate was given. Empty means: nothing."""
    left: Counter[str] = Counter()
    documents: set[tuple[Store, str]] = set()
    for entry in DATA_MAP:
        path = person.place(entry)
        if path is None:
            continue
        match entry.store:
            case Store.REPLICATE:
                artefacts = Artefacts(platform.settings)
                left[entry.name] = sum(artefacts.has_file(name) for name in files)
            case Store.STORAGE:
                left[entry.name] = sum(1 for _ in platform.bucket.list_blobs(prefix=path, versions=True))
            case Store.REDIS:
                left[entry.name] = sum(1 for key in platform.redis.scan_iter(count=1000) if key.startswith(path))
            case Store.FIRESTORE:
                documents |= {(entry.store, place) for place in _documents(platform.db, path, entry, person)}
            case Store.VAULT:
                documents |= {(entry.store, place) for place in _documents(platform.vault_db, path, entry, person)}
            case Store.AUTH:
                left[entry.name] = len(auth.get_users([auth.UidIdentifier(person.uid)], app=platform.app).users)
    for store, place in documents:
        left[name_of(store, place)] += 1
    return +left


def _documents(db: firestore.Client, path: str, entry: Entry, person: Subject) -> Iterator[str]:
    """Documents at `path` and below. A path that ends with a slash is a collection."""
    if path.endswith("/"):
        for document in db.collection(path.rstrip("/")).list_documents():
            yield from _tree(document)
        return
    fields = db.document(path).get().to_dict()
    if fields is None or person.owns(entry, fields):
        yield from _tree(db.document(path))


def _tree(document: firestore.DocumentReference) -> Iterator[str]:
    if document.get(["__name__"]).exists:
        yield document.path
    for collection in document.collections():
        for child in collection.list_documents():
            yield from _tree(child)
