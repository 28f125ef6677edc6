"""A commit that asserts that somebody has no tombstone, against the real database."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from google.api_core.exceptions import AlreadyExists, NotFound
from google.cloud import firestore

from astra import erasure
from astra.accounts import tombstones
from astra.accounts.tombstones import Erased, commit_unless_erased
from astra.runtime.platform import Platform

WRITERS, MOST = 8, 1_000


class Person:
    """Whose documents are written."""

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform, self.uid = platform, secrets.token_hex(14)
        self.subject = platform.pseudonyms.of_uid(self.uid)

    def document(self, name: str) -> firestore.DocumentReference:
        return self.platform.db.document(f"users/{self.uid}/events/{name}")

    def write(self, *names: str) -> None:
        batch = self.platform.db.batch()
        for name in names:
            batch.create(self.document(name), {"by": self.uid})
        commit_unless_erased(batch, self.platform.db, self.subject)

    def stored(self) -> dict[str, datetime]:
        """When each document was written."""
        found = self.platform.db.collection("users", self.uid, "events").get()
        return {snapshot.id: snapshot.create_time for snapshot in found}


@pytest.fixture
def ada(platform: Platform[Any]) -> Person:
    return Person(platform)


def test_without_a_tombstone_all_is_written_and_no_tombstone_appears(ada: Person) -> None:
    ada.write("one", "two")
    assert set(ada.stored()) == {"one", "two"}
    assert not tombstones.reference(ada.platform.db, ada.subject).get().exists


def test_with_a_tombstone_nothing_is_written_and_it_stays(ada: Person) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    with pytest.raises(Erased):
        ada.write("one", "two")
    assert ada.stored() == {}
    assert tombstones.reference(ada.platform.db, ada.subject).get().exists


def test_another_condition_that_fails_is_told_apart(ada: Person) -> None:
    ada.write("one")
    with pytest.raises(AlreadyExists):
        ada.write("two", "one")
    batch = ada.platform.db.batch()
    batch.update(ada.document("three"), {"by": "x"})
    with pytest.raises(NotFound):
        commit_unless_erased(batch, ada.platform.db, ada.subject)
    assert set(ada.stored()) == {"one"}
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    with pytest.raises(Erased):
        ada.write("two", "one")


def test_nothing_is_written_after_an_erasure_that_begins_between(ada: Person) -> None:
    under_way = threading.Semaphore(0)

    def write(writer: int) -> list[str]:
        written: list[str] = []
        with suppress(Erased):
            while len(written) < MOST:
                ada.write(name := f"{writer}-{len(written)}")
                written.append(name)
                under_way.release()
        return written

    with ThreadPoolExecutor(WRITERS) as writers:
        racing = [writers.submit(write, writer) for writer in range(WRITERS)]
        for _ in range(WRITERS * 3):
            assert under_way.acquire(timeout=60)
        assert erasure.begin(ada.platform, ada.uid, ada.platform.clock())
        answered = [racer.result(60) for racer in racing]
    assert all(len(written) < MOST for written in answered), "an erasure was begun, and somebody was not refused"
    written = set().union(*answered)
    stored = ada.stored()
    assert set(stored) == written, "what was answered is there, and nothing else"
    begun = tombstones.reference(ada.platform.db, ada.subject).get().create_time
    assert max(stored.values()) <= begun
