"""Staff members: their roles and the policy that they accepted.

    staff/{uid}                   {role, until, policyVersion, policySha256, acceptedAt, since, grantedBy, claimDue}
    staff/{uid}/proposals/{id}    see `privileged`

This document decides, and not the custom claim `role` of an ID token, which goes on saying what was true when it was
minted for up to an hour. The claim follows the document: `claimDue` until it does, so that a crash in between is mended
by the `review` schedule.

`astra staff first-cto ACCOUNT` makes the first CTO, and works only while there is none; `… list` shows
everybody.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

from firebase_admin import auth
from google.cloud import firestore

from astra.accounts import tombstones
from astra.policies import Policy
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings

STAFF: Final = "staff"


class Role(enum.StrEnum):
    """All the roles there are."""

    SUPPORT = "support"
    PRIVACY = "privacy"
    SECURITY = "security"
    CTO = "cto"


TWO_PEOPLE: Final = frozenset({Role.SECURITY, Role.CTO})
"""The roles that one person alone neither gives nor takes."""


@dataclass(frozen=True)
class Member:
    """One document of `staff`, as read. No role: they were given none yet, it was revoked, or its time is up."""

    uid: str
    role: Role | None
    policy_version: str | None
    policy_sha256: str | None
    since: datetime | None
    """Since when they have had this role."""
    granted_by: tuple[Pseudonym, ...]

    @classmethod
    def of(cls, stored: "firestore.DocumentSnapshot[Any]", now: datetime) -> Self:
        """Whom a document, which need not exist, speaks of."""
        fields = stored.to_dict() or {}
        ended = fields.get("until") is not None and fields["until"] <= now
        role = Role(fields["role"]) if fields.get("role") and not ended else None
        granted_by = tuple(map(Pseudonym, fields.get("grantedBy") or ()))
        accepted = (fields.get("policyVersion"), fields.get("policySha256"))
        return cls(stored.id, role, *accepted, fields.get("since"), granted_by)

    def accepted(self, required: Policy) -> bool:
        """Whether what they have accepted is this very text."""
        return (self.policy_version, self.policy_sha256) == (required.version, required.sha256)


def reference(db: firestore.Client, uid: str) -> firestore.DocumentReference:
    """Where it is written which role an account has."""
    return db.collection(STAFF).document(uid)


def find_members(
    db: firestore.Client, now: datetime, *roles: Role, transaction: firestore.Transaction | None = None
) -> list[Member]:
    """Everybody who has one of `roles` at `now`, or any."""
    wanted = [role.value for role in roles or Role]
    query = db.collection(STAFF).where(filter=firestore.FieldFilter("role", "in", wanted))
    found = [Member.of(stored, now) for stored in query.get(transaction=transaction)]
    return [member for member in found if member.role]


def present(
    platform: Platform[Settings],
    found: list[Member],
    transaction: firestore.Transaction | None,
) -> list[Member]:
    """Those of `found` who are not being erased."""
    subjects = {platform.pseudonyms.of_uid(member.uid): member for member in found}
    stones = (tombstones.reference(platform.db, subject) for subject in subjects)
    erased = {stone.id for stone in fetch(platform.db, *stones, transaction=transaction) if stone.exists}
    return [member for subject, member in subjects.items() if subject not in erased]


def granted(role: Role, approvers: list[Pseudonym], now: datetime, until: datetime | None = None) -> dict[str, Any]:
    """The fields that give a role; `mirror` is to follow."""
    return {"role": role.value, "until": until, "grantedBy": approvers, "since": now, "claimDue": True}


def revoked(approvers: list[Pseudonym], now: datetime) -> dict[str, Any]:
    """The fields that take the role away; `mirror` is to follow. Who comes back accepts the security policy anew."""
    unaccepted = {"policyVersion": None, "policySha256": None, "acceptedAt": None}
    return {**unaccepted, "role": None, "until": None, "grantedBy": approvers, "since": now, "claimDue": True}


def accepted(required: Policy, now: datetime) -> dict[str, Any]:
    """The fields that say which security policy somebody has accepted."""
    return {"policyVersion": required.version, "policySha256": required.sha256, "acceptedAt": now}


def mirror(platform: Platform[Settings], uid: str) -> None:
    """Make the account's claim say what the document says. Who has lost a role has to sign in anew. May be repeated."""
    document = reference(platform.db, uid)
    while True:
        stored = document.get()
        role = Member.of(stored, platform.clock()).role
        try:
            claims: dict[str, Any] = auth.get_user(uid, app=platform.app).custom_claims or {}
            changed = {**claims, "role": role.value if role else None}
            auth.set_custom_user_claims(uid, changed, app=platform.app)
            if role is None:
                auth.revoke_refresh_tokens(uid, app=platform.app)
        except auth.UserNotFoundError:
            pass  # deleted meanwhile: there is no token to mind
        if stored.update_time is None or transact(platform.db, partial(_settled, document=document, seen=stored)):
            return


def _settled(
    transaction: firestore.Transaction,
    document: firestore.DocumentReference,
    seen: "firestore.DocumentSnapshot[Any]",
) -> bool:
    """Whether the document still is as it was mirrored; then it is noted that it was."""
    now = document.get(transaction=transaction)
    if not now.exists:
        return True
    if now.update_time != seen.update_time:
        return False
    transaction.update(document, {"claimDue": False})
    return True
