"""Which policy is in force, and what its text hashes to.

    policies/{version}   {version, sha256, effectiveAt, text}; anyone may read it

`python -m astra.policy` publishes the first version to the project of the environment. It is harmless to repeat.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

from google.cloud import firestore

FIRST: Final = "2025-08-02"
_FIELDS: Final = ("version", "sha256", "effectiveAt")


@dataclass(frozen=True)
class Policy:
    """A version of the policy. `sha256` is of its text in UTF-8, in hex."""

    version: str
    sha256: str
    effective_at: datetime

    @classmethod
    def of(cls, stored: "firestore.DocumentSnapshot[Any]") -> "Policy":
        """The version that `policies/{version}` holds."""
        return cls(stored.get("version"), stored.get("sha256"), stored.get("effectiveAt"))


def publish_first(db: firestore.Client) -> None:
    """Put the policy of 2 August 2025 into force, as it was published."""
    text = resources.files("astra").joinpath(f"policies/{FIRST}.txt").read_text(encoding="utf-8")
    db.collection("policies").document(FIRST).set(
        {
            "version": FIRST,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "effectiveAt": datetime(2025, 8, 2, tzinfo=UTC),
            "text": text,
        }
    )


def find(db: firestore.Client, version: str) -> Policy | None:
    """A published version, in force or not yet; None if there is none of that name."""
    stored = db.collection("policies").document(version).get(_FIELDS)
    return Policy.of(stored) if stored.exists else None


def current(db: firestore.Client, now: datetime) -> Policy:
    """The version in force at `now`. Raises LookupError on a project where none was ever published."""
    in_force = (
        db.collection("policies")
        .where(filter=firestore.FieldFilter("effectiveAt", "<=", now))
        .order_by("effectiveAt", direction=firestore.Query.DESCENDING)
        .select(_FIELDS)
        .limit(1)
    )
    for snapshot in in_force.stream():
        return Policy.of(snapshot)
    raise LookupError("no policy is in force: run `python -m astra.policy` once for this project")


if __name__ == "__main__":
    publish_first(firestore.Client())
