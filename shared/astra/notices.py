"""What we tell somebody in the application.

users/{uid}/notices/{id}   {kind, title, body, createdAt}; its owner may read it
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import firestore

from astra import tombstones
from astra.documents import fetch
from astra.platform import Platform
from astra.settings import Settings


class Kind(enum.StrEnum):
    """What a notice is about."""

    BREACH = "breach"
    """That some of somebody's data got into the wrong hands."""
    DISCLOSURE = "disclosure"
    LEGAL_HOLD = "legal-hold"
    STAFF = "staff"
    """Something that somebody has to see to in their role."""


@dataclass(frozen=True)
class Notice:
    """One notice."""

    kind: Kind
    title: str
    body: str


def reads(platform: Platform[Settings], uid: str) -> tuple[firestore.DocumentReference, firestore.DocumentReference]:
    """The documents that say whether somebody can be told anything: see `reachable`."""
    db = platform.db
    return db.document("users", uid), tombstones.reference(db, platform.pseudonyms.of_uid(uid))


def reachable(profile: "firestore.DocumentSnapshot[Any]", tombstone: "firestore.DocumentSnapshot[Any]") -> bool:
    """Whether there is somebody to tell, by what `reads` named, as read."""
    return profile.exists and not tombstone.exists


def is_reachable(transaction: firestore.Transaction, platform: Platform[Settings], uid: str) -> bool:
    """Whether there is somebody to tell, as read in the transaction that tells them."""
    return reachable(*fetch(platform.db, *reads(platform, uid), transaction=transaction))


def write(
    batch: firestore.WriteBatch, db: firestore.Client, uid: str, name: str, notice: Notice, now: datetime
) -> None:
    """Tell somebody, as part of `batch`, which may be a transaction. Of one `name` there is one notice."""
    fields = {"kind": notice.kind.value, "title": notice.title, "body": notice.body, "createdAt": now}
    batch.set(db.document("users", uid, "notices", name), fields)
