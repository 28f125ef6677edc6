"""The mark that stays when a person goes: nothing of theirs is written again.

Kept under a pseudonym in each database, so that a writer can check it inside its own transaction. It is written
before anything is deleted and never removed: a backup that brings a person back meets it too.
"""

from datetime import datetime

from google.cloud import firestore

from astra.pseudonyms import Pseudonym


class Erased(Exception):
    """The data subject asked to be erased; what was about to be written must not be."""


def reference(db: firestore.Client, subject: Pseudonym) -> firestore.DocumentReference:
    """The place of `subject`'s tombstone in `db`."""
    return db.collection("tombstones").document(subject)


def refuse_erased(transaction: firestore.Transaction, db: firestore.Client, subject: Pseudonym) -> None:
    """Raise Erased if `subject` has a tombstone; otherwise the transaction fails should one appear meanwhile."""
    if reference(db, subject).get(transaction=transaction).exists:
        raise Erased


def bury(batch: firestore.WriteBatch, db: firestore.Client, subject: Pseudonym, now: datetime) -> None:
    """Write the tombstone as part of `batch`, which may be a transaction."""
    batch.set(reference(db, subject), {"erasedAt": now})
