"""The verifier: looks for remains of a data subject by other ways than the cascade's.

It shares the data map with the cascade and nothing else: it walks collections instead of querying descendants, scans
the whole Redis keyspace instead of reading an index, and starts each time from the beginning.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from firebase_admin import auth
from google.cloud import firestore

from astra.datamap.lookup import name_of
from astra.datamap.model import Entry, Store, Subject
from astra.datamap.table import DATA_MAP
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform

from erasure.replicate import Artefacts
from erasure.settings import ErasureSettings

_PAGE_DOCUMENTS: Final = 300


def found(
    platform: Platform[ErasureSettings], person: Subject, files: list[str], entries: Iterable[Entry] = DATA_MAP
) -> "Counter[str]":
    """How much of each entry is still there, `files` being those that Replicate was given. Empty means: nothing.

    What lies below another entry is found, and named, with that one.
    """
    left: Counter[str] = Counter()
    for entry in entries:
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
            case Store.FIRESTORE if entry.where.endswith(".{item}"):
                left[entry.name] = len(_named(platform.db, path))
            case Store.FIRESTORE if not _is_below_another(entry):
                left.update(_documents(platform.db, path, entry, person))
            case Store.VAULT if not _is_below_another(entry):
                left.update(_documents(platform.vault_db, path, entry, person))
            case Store.AUTH:
                left[entry.name] = len(auth.get_users([auth.UidIdentifier(person.uid)], app=platform.app).users)
    return +left


def _named(db: firestore.Client, path: str) -> "list[firestore.DocumentSnapshot[Any]]":
    """The documents of a collection whose names begin with what `path` ends with."""
    collection, _, beginning = path.rpartition("/")
    first, last = (db.collection(collection).document(beginning + end) for end in ("", "\uf8ff"))
    query = db.collection(collection).where(filter=firestore.FieldFilter("__name__", ">=", first))
    return query.where(filter=firestore.FieldFilter("__name__", "<", last)).select([]).get()


def _is_below_another(entry: Entry) -> bool:
    return any(entry.store is other.store and entry.where.startswith(other.where + "/") for other in DATA_MAP)


def _documents(db: firestore.Client, path: str, entry: Entry, person: Subject) -> Iterator[str]:
    """The names of all documents at `path` and below."""
    root = db.document(path)
    fields = root.get().to_dict()
    if fields is not None and not person.owns(entry, fields):
        return
    if fields is not None:
        yield name_of(entry.store, path)
    for document in _below(root):
        yield name_of(entry.store, document.path)


def _below(document: firestore.DocumentReference) -> Iterator[firestore.DocumentReference]:
    for collection in document.collections():
        # Documents that are not there too: there may be some below them.
        listing = iter(collection.list_documents(page_size=_PAGE_DOCUMENTS))
        while children := list(islice(listing, _PAGE_DOCUMENTS)):
            looked_at = fetch(document._client, *children, fields=["__name__"])
            there = {child.reference.path for child in looked_at if child.exists}
            for child in children:
                if child.path in there:
                    yield child
                yield from _below(child)
