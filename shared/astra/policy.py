"""Which policy is in force, and what its text hashes to: the public one, and the security policy of whoever works here.

    policies/{version}           {version, sha256, effectiveAt, text}; anyone may read it
    securityPolicies/{version}   the same; whoever is signed in may read it

`python -m astra.policy` publishes the first version of each to the project of the environment. It is harmless to
repeat.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

from google.cloud import firestore

FIRST: Final = "2025-08-02"
FIRST_SECURITY: Final = "security-2025-07-15"
PUBLIC: Final = "policies"
SECURITY: Final = "securityPolicies"
_FIELDS: Final = ("version", "sha256", "effectiveAt")


@dataclass(frozen=True)
class Policy:
    """A version of a policy. `sha256` is of its text in UTF-8, in hex."""

    version: str
    sha256: str
    effective_at: datetime

    @classmethod
    def of(cls, stored: "firestore.DocumentSnapshot[Any]") -> "Policy":
        """The version that `policies/{version}` holds."""
        return cls(stored.get("version"), stored.get("sha256"), stored.get("effectiveAt"))


def publish_first(db: firestore.Client) -> None:
    """Put the policy of 2 August 2025, and the security policy of the month before it, into force as published."""
    _publish(db, PUBLIC, FIRST, datetime(2025, 8, 2, tzinfo=UTC))
    _publish(db, SECURITY, FIRST_SECURITY, datetime(2025, 7, 15, tzinfo=UTC))


def _publish(db: firestore.Client, collection: str, version: str, effective_at: datetime) -> None:
    text = resources.files("astra").joinpath(f"policies/{version}.txt").read_text(encoding="utf-8")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    fields = {"version": version, "sha256": sha256, "effectiveAt": effective_at, "text": text}
    db.collection(collection).document(version).set(fields)


def find(db: firestore.Client, version: str, transaction: firestore.Transaction | None = None) -> Policy | None:
    """A published version, in force or not yet; None if there is none of that name."""
    stored = db.collection(PUBLIC).document(version).get(_FIELDS, transaction=transaction)
    return Policy.of(stored) if stored.exists else None


def current(
    db: firestore.Client,
    now: datetime,
    collection: str = PUBLIC,
    transaction: firestore.Transaction | None = None,
) -> Policy:
    """The version in force at `now`. Raises LookupError on a project where none was ever published."""
    in_force = (
        db.collection(collection)
        .where(filter=firestore.FieldFilter("effectiveAt", "<=", now))
        .order_by("effectiveAt", direction=firestore.Query.DESCENDING)
        .select(_FIELDS)
        .limit(1)
    )
    for snapshot in in_force.stream(transaction=transaction):
        return Policy.of(snapshot)
    raise LookupError("no policy is in force: run `python -m astra.policy` once for this project")


if __name__ == "__main__":
    publish_first(firestore.Client())
