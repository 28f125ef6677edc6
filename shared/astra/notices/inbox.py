"""The inbox: notices in the application.

users/{uid}/notices/{id}   {kind, title, body, createdAt, campaign?, seenAt?}; its owner may read it
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import firestore
from google.cloud.firestore_v1.types import Write

from astra.accounts import tombstones
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings


class Kind(enum.StrEnum):
    """What a notice is about."""

    BREACH = "breach"
    """Some of somebody's data got into the wrong hands. Facts: see `approve_notice` in the breach codebase."""
    DISCLOSURE = "disclosure"
    LEGAL_HOLD = "legal-hold"
    STAFF = "staff"
    """Something that somebody has to see to in their role."""
    POLICY_CHANGE = "policy-change"
    """The policy changes materially. Facts: version, effectiveAt, summary, url."""
    POLICY_WITHDRAWN = "policy-withdrawn"
    """A change that was announced will not come. Facts: version, reason."""
    TRANSFER = "transfer"
    """The service, and with it everybody's data, goes to somebody else.
    Facts: recipient, plannedAt, summary, policyUrl."""
    TRANSFER_CANCELLED = "transfer-cancelled"
    """It does not, or not any further. Facts: recipient, opened, which is empty unless some data had gone."""
    INACTIVITY = "inactivity"
    """An account that nobody uses is erased soon. Facts: erasesAt, lastActiveAt."""
    ERASURE = "erasure"
    """The person's erasure has begun. Facts: receipt, url."""


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


def reference(db: firestore.Client, uid: str, name: str) -> firestore.DocumentReference:
    """Where somebody's notice of that name is."""
    return db.document("users", uid, "notices", name)


def write(
    batch: firestore.WriteBatch,
    db: firestore.Client,
    uid: str,
    name: str,
    notice: Notice,
    now: datetime,
    campaign: str | None = None,
) -> None:
    """Tell somebody, as part of `batch`, which may be a transaction. Of one `name` there is one notice."""
    fields = {"kind": notice.kind.value, "title": notice.title, "body": notice.body, "createdAt": now}
    batch.set(reference(db, uid, name), fields | ({"campaign": campaign} if campaign else {}))


def write_to_all(
    batch: firestore.WriteBatch,
    db: firestore.Client,
    uids: Iterable[str],
    name: str,
    notice: Notice,
    now: datetime,
    campaign: str | None = None,
) -> None:
    """`write` one notice to many, for a tenth of the work: it is put into the database's words once."""
    written = None
    for uid in uids:
        if written is None:
            write(batch, db, uid, name, notice, now, campaign)
            written = Write.pb(batch._write_pbs[-1])
            continue
        copy = type(written)()
        copy.CopyFrom(written)
        copy.update.name = reference(db, uid, name)._document_path
        batch._add_write_pbs([Write.wrap(copy)])
