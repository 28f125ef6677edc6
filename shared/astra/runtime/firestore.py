"""Firestore transactions, with backoff under contention."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from google.api_core.exceptions import Aborted
from google.api_core.retry import Retry
from google.cloud import firestore

T = TypeVar("T")


@dataclass(frozen=True)
class PendingWrite:
    """A write that a transaction's reads have decided on.

    Apply it in the same transaction, after the last read: Firestore takes no read after a write.
    """

    apply: Callable[[], None]


def _contended(error: Exception) -> bool:
    # The client reports its last attempt as a ValueError with the reason behind it.
    return isinstance(error, Aborted) or isinstance(error.__cause__, Aborted)


# The client's own attempts follow each other at once, so that contenders meet again and again: wait, with jitter.
_RETRY: Final = Retry(predicate=_contended, initial=0.05, maximum=2.0, multiplier=2.0, timeout=20.0)


def transact(db: firestore.Client, body: Callable[[firestore.Transaction], T]) -> T:
    """Run `body` in a transaction until it commits, for up to 20 s of contention. `body` may run several times.

    Raises whatever `body` raises, after rolling back.
    """
    attempt: Callable[[], T] = _RETRY(lambda: firestore.transactional(body)(db.transaction(max_attempts=1)))
    return attempt()
