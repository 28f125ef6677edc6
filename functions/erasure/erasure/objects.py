"""A data subject's objects in Storage, listed and deleted in parallel."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from google.api_core.exceptions import NotFound
from google.cloud.storage import Blob, Bucket

from astra.datamap.model import Entry, Subject

_PAGE_OBJECTS: Final = 400
_THREADS: Final = 8


def delete_page(bucket: Bucket, person: Subject, entries: Sequence[Entry]) -> tuple["Counter[str]", bool]:
    """Delete up to a page of each entry's objects. Answers how many went, and whether there may be more."""

    def listed(entry: Entry) -> list[Blob]:
        place = person.place(entry)
        # Every generation: on a bucket with versioning, the old ones too. Without a prefix it would list the bucket.
        return list(bucket.list_blobs(prefix=place, versions=True, max_results=_PAGE_OBJECTS)) if place else []

    deleted: Counter[str] = Counter()
    with ThreadPoolExecutor(_THREADS) as hands:
        listings = list(hands.map(listed, entries))
        for entry, blobs in zip(entries, listings, strict=True):
            deleted[entry.name] = sum(hands.map(_delete, blobs))
    return +deleted, any(len(blobs) == _PAGE_OBJECTS for blobs in listings)


def _delete(blob: Blob) -> int:
    try:
        blob.delete(if_generation_match=blob.generation)
    except NotFound:
        return 0
    return 1
