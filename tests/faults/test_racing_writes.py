"""Uploads and writes racing a deletion, in whatever order: in the end nothing of the person is left anywhere."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from google.cloud import firestore

from astra import erasure
from astra.accounts import tombstones
from astra.accounts.tombstones import Erased
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from local.client import CallError, Client, Person
from local.life import develop, needles
from local.scan import scan
from local.stack import Stack
from local.telling import wait_for

UPLOADS, WRITES = 4, 20


def upload(client: Client, ada: Person, photograph: bytes, under_way: threading.Event) -> int:
    """Answers how many uploads were accepted."""
    accepted = 0
    for _ in range(UPLOADS):
        try:
            client.upload(ada, photograph)
            accepted += 1
        except CallError as refusal:
            assert refusal.code == 403
        under_way.set()
    return accepted


def write(platform: Platform[Any], ada: Person, under_way: threading.Event) -> int:
    """What a webhook's function does: look for the tombstone, then write, in one transaction. Answers how often."""
    written = 0

    def body(transaction: firestore.Transaction) -> None:
        tombstones.refuse_erased(transaction, platform.db, platform.pseudonyms.of_uid(ada.uid))
        transaction.set(platform.db.document(f"users/{ada.uid}/events/{written}"), {"by": ada.uid})

    for _ in range(WRITES):
        with suppress(Erased):
            transact(platform.db, body)
            written += 1
        under_way.set()
    return written


def delete(client: Client, ada: Person, under_way: threading.Event) -> str:
    """Answers the receipt."""
    try:
        receipt: str = client.call("delete_account", {"confirm": True}, ada.token)["receipt"]
    finally:
        under_way.set()
    return receipt


def wait_verified(client: Client, receipt: str) -> None:
    wait_for("the certificate", lambda: client.call("receipt", {"receipt": receipt}).get("certificate"))


@pytest.mark.parametrize("first", ["upload", "write", "deletion", "together"])
def test_whatever_races_a_deletion_is_refused_or_removed(
    stack: Stack, client: Client, platform: Platform[Any], first: str
) -> None:
    ada, photograph = client.join(), develop()
    racers: dict[str, Callable[[threading.Event], Any]] = {
        "upload": lambda under_way: upload(client, ada, photograph, under_way),
        "write": lambda under_way: write(platform, ada, under_way),
        "deletion": lambda under_way: delete(client, ada, under_way),
    }
    with ThreadPoolExecutor(len(racers)) as pool:
        racing = {}
        for name in sorted(racers, key=lambda name: name != first):
            under_way = threading.Event()
            racing[name] = pool.submit(racers[name], under_way)
            if name == first:
                assert under_way.wait(60)
        outcome = {name: racer.result(120) for name, racer in racing.items()}
    assert write(platform, ada, threading.Event()) == upload(client, ada, photograph, threading.Event()) == 0
    if first in ("upload", "write"):
        assert outcome[first], "nothing was written before the deletion: mend this test"
    wait_verified(client, outcome["deletion"])
    everything = needles(ada, photograph)
    # A function that was sealing when the quiet period ended, which is short here, still tidies up after itself.
    wait_for("nothing to be left", lambda: scan(stack, everything) == [] or None)


def test_a_writer_that_looks_for_no_tombstone_is_caught_by_the_verifier(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    receipt = client.call("delete_account", {"confirm": True}, ada.token)["receipt"]
    job = erasure.reference(platform.db, platform.pseudonyms.of_uid(ada.uid))
    wait_for("the quiet period", lambda: (job.get().to_dict() or {}).get("step") == "verify" or None)
    platform.db.document(f"users/{ada.uid}/events/late").set({"by": ada.uid})
    wait_verified(client, receipt)
    assert job.get().get("reopened") == 1
    assert scan(stack, needles(ada)) == []
