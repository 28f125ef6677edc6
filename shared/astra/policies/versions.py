"""Policy versions: which one is in force, and the hash of its text.

    policies/{version}           {version, sha256, text, lastUpdated, material, summary, state, announcedAt,
                                 announcedFor, effectiveAt}; anyone may read it
    securityPolicies/{version}   the same; whoever is signed in may read it

Versions are dates, so their names are their order; each is announced for a later moment than all before it. A version
is in force from `effectiveAt` on. A material one has none until everybody has been told of it: no query for what is in
force finds it. What was withdrawn, or overtaken by a newer version before it could take effect, never has one again.

`astra policies publish-first` puts the first version of each into force in the project of the environment. It
is harmless to repeat.
"""

import enum
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from google.cloud import firestore

FIRST: Final = "2025-08-02"
FIRST_SECURITY: Final = "security-2025-07-15"
PUBLIC: Final = "policies"
SECURITY: Final = "securityPolicies"
_FIELDS: Final = ("version", "sha256", "effectiveAt", "announcedFor", "material", "state", "summary")


class State(enum.StrEnum):
    """What was decided of a version. Whether one is in force is a question of the time."""

    ANNOUNCED = "announced"
    """Material, and not everybody has been told: it can't take effect."""
    PUBLISHED = "published"
    """It takes effect at `effectiveAt`, or has."""
    WITHDRAWN = "withdrawn"
    """Staff took it back before it took effect."""
    SUPERSEDED = "superseded"
    """A newer version took effect before everybody had been told of this one."""


@dataclass(frozen=True)
class Policy:
    """A version of a policy. `sha256` is of its text in UTF-8, in hex."""

    version: str
    sha256: str
    effective_at: datetime | None
    """None: it is not in force and can't be, yet or ever."""
    announced_for: datetime | None = None
    material: bool = True
    state: State = State.PUBLISHED
    summary: str = ""

    @classmethod
    def of(cls, stored: "firestore.DocumentSnapshot[Any]") -> "Policy":
        """The version that `policies/{version}` holds."""
        fields: dict[str, Any] = stored.to_dict() or {}
        effective_at = fields.get("effectiveAt")
        return cls(
            fields["version"],
            fields["sha256"],
            effective_at,
            fields.get("announcedFor") or effective_at,
            fields.get("material", True),
            State(fields.get("state", State.PUBLISHED)),
            fields.get("summary", ""),
        )

    @property
    def ended(self) -> bool:
        """Whether it will never take effect."""
        return self.state in (State.WITHDRAWN, State.SUPERSEDED)

    def is_in_force(self, now: datetime) -> bool:
        """Whether it has taken effect, be it replaced since or not."""
        return self.effective_at is not None and self.effective_at <= now


def fields_of(
    version: str, text: str, summary: str, announced_at: datetime, announced_for: datetime, *, material: bool
) -> dict[str, Any]:
    """A version's document, as it is announced; see `State` for what is still to be set."""
    return {
        "version": version,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "text": text,
        "lastUpdated": dated(version).isoformat(),
        "material": material,
        "summary": summary,
        "state": State.ANNOUNCED.value,
        "announcedAt": announced_at,
        "announcedFor": announced_for,
        "effectiveAt": None,
    }


def campaign_of(version: str) -> str:
    """The campaign that tells everybody of a version, and the name of each person's notice."""
    return f"policy-{version}"


def dated(version: str) -> date:
    """The day that a version is of. Raises ValueError for one that does not name a day."""
    return date.fromisoformat(version.removeprefix("security-").partition(".")[0])


def find(db: firestore.Client, version: str, transaction: firestore.Transaction | None = None) -> Policy | None:
    """A version in force or not, announced or withdrawn; None if there is none of that name."""
    stored = db.collection(PUBLIC).document(version).get(_FIELDS, transaction=transaction)
    return Policy.of(stored) if stored.exists else None


def current(
    db: firestore.Client,
    now: datetime,
    collection: str = PUBLIC,
    transaction: firestore.Transaction | None = None,
) -> Policy:
    """The version in force at `now`. Raises LookupError on a project where none was ever published."""
    return _in_force(db, now, collection, transaction, most=1)[0]


def last_material(db: firestore.Client, now: datetime) -> Policy:
    """The version in force at `now` or, if its changes are not material, the last one before it whose are."""
    found = _in_force(db, now, PUBLIC, None)
    return next((version for version in found if version.material), found[-1])


def _in_force(
    db: firestore.Client,
    now: datetime,
    collection: str,
    transaction: firestore.Transaction | None,
    most: int | None = None,
) -> list[Policy]:
    """What has taken effect by `now`, the last first. Raises LookupError if nothing has."""
    in_force = (
        db.collection(collection)
        .where(filter=firestore.FieldFilter("effectiveAt", "<=", now))
        .order_by("effectiveAt", direction=firestore.Query.DESCENDING)
        .select(_FIELDS)
    )
    last = in_force.limit(most) if most else in_force
    if found := [Policy.of(snapshot) for snapshot in last.get(transaction=transaction)]:
        return found
    raise LookupError("no policy is in force: run `astra policies publish-first` once for this project")


def versions(
    db: firestore.Client,
    collection: str = PUBLIC,
    transaction: firestore.Transaction | None = None,
    *,
    after: str = "",
) -> list[Policy]:
    """All versions that are newer than `after`, whatever has become of them, the oldest first."""
    newer = db.collection(collection).where(filter=firestore.FieldFilter("version", ">", after)).order_by("version")
    return [Policy.of(snapshot) for snapshot in newer.select(_FIELDS).get(transaction=transaction)]
