"""Staff: members, permissions, and the authorization of their calls."""

from astra.staff.members import (
    STAFF,
    TWO_PEOPLE,
    Member,
    Role,
    accepted,
    granted,
    members,
    mirror,
    present,
    reference,
    revoked,
)

__all__ = [
    "Member",
    "Role",
    "STAFF",
    "TWO_PEOPLE",
    "accepted",
    "granted",
    "members",
    "mirror",
    "present",
    "reference",
    "revoked",
]
