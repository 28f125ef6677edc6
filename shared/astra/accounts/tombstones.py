"""Tombstones: an erased person's pseudonym, under which nothing is written again.

Kept under a pseudonym in each database, so that a writer can check it inside its own transaction. It is written
before anything is deleted and never removed: a backup that brings a person back meets it too.
"""

from datetime import datetime
from operator import attrgetter
from typing import Final

from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore

from astra.runtime.documents import read
from astra.runtime.pseudonyms import Pseudonym

_COLLECTION: Final = "tombstones"
# The client's own, and Aborted: an erasure that begins at the same moment is waited for.
_RETRY: Final = Retry(
    predicate=if_exception_type(Aborted, ResourceExhausted, ServiceUnavailable),
    initial=0.05,
    maximum=2.0,
    multiplier=2.0,
    timeout=20.0,
)


class Erased(Exception):
    """The data subject asked to be erased; what was about to be written must not be."""


def reference(db: firestore.Client, subject: Pseudonym) -> firestore.DocumentReference:
    """The place of `subject`'s tombstone in `db`."""
    return db.collection(_COLLECTION).document(subject)


def since(transaction: firestore.Transaction, db: firestore.Client, moment: datetime) -> set[str]:
    """The pseudonyms of all whose erasure has begun at `moment` or later; one that begins meanwhile waits."""
    later = db.collection(_COLLECTION).where(filter=firestore.FieldFilter("erasedAt", ">=", moment)).select([])
    return set(read(later, attrgetter("id"), transaction))


def refuse_erased(transaction: firestore.Transaction, db: firestore.Client, subject: Pseudonym) -> None:
    """Raise Erased if `subject` has a tombstone; otherwise the transaction fails should one appear meanwhile."""
    if reference(db, subject).get(transaction=transaction).exists:
        raise Erased


def commit_unless_erased(batch: firestore.WriteBatch, db: firestore.Client, subject: Pseudonym) -> None:
    """Commit `batch` in one request; raise Erased, with nothing written, if `subject` has a tombstone by then.

    For a writer that need not read: a transaction would be three requests. To delete what must not exist is the
    assertion, which the database checks together with the writes. A commit whose answer is lost is sent again, so that
    what it creates may be there already: AlreadyExists is success for whoever creates under a name that only they use.
    """
    batch.delete(reference(db, subject), db.write_option(exists=False))
    try:
        batch.commit(_RETRY)
    except (AlreadyExists, FailedPrecondition):
        # Which condition failed the error does not say. A tombstone never goes, so now is soon enough to look.
        if reference(db, subject).get(["__name__"]).exists:
            raise Erased from None
        raise


def bury(batch: firestore.WriteBatch, db: firestore.Client, subject: Pseudonym, now: datetime) -> None:
    """Write the tombstone as part of `batch`, which may be a transaction."""
    batch.set(reference(db, subject), {"erasedAt": now})
