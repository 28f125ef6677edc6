"""Test data of benchmarks: accounts with any number of documents."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Any

from firebase_admin import auth
from google.cloud import firestore

_PAGE = 500
_THREADS = 4


def plant(platform: Any, documents: int) -> str:
    """Make a person with an account and a tree of so many documents, the profile included; answer their id."""
    uid = secrets.token_hex(14)
    auth.create_user(uid=uid, email=f"{uid}@example.com", app=platform.app)
    paths = islice(_paths(uid), documents)
    pages = iter(lambda: list(islice(paths, _PAGE)), [])
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda page: _write(platform.db, page), pages))
    return uid


def _write(db: firestore.Client, paths: list[str]) -> None:
    batch = db.batch()
    for path in paths:
        batch.set(db.document(path), {"state": "active"})
    batch.commit()


def _paths(uid: str) -> Iterator[str]:
    """The profile and images; below each image two documents, and one more below each of those."""
    yield f"users/{uid}"
    for _ in count():
        image = f"users/{uid}/images/{secrets.token_hex(10)}"
        yield image
        for note in ("a", "b"):
            yield f"{image}/notes/{note}"
            yield f"{image}/notes/{note}/marks/first"
