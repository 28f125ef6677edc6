"""Staff: members, permissions, and the authorization of their calls."""

from astra.staff.members import (
    STAFF,
    TWO_PEOPLE,
    Member,
    Role,
    accepted,
    find_members,
    granted,
    mirror,
    present,
    reference,
    revoked,
)

__all__ = [
    "STAFF",
    "TWO_PEOPLE",
    "Member",
    "Role",
    "accepted",
    "find_members",
    "granted",
    "mirror",
    "present",
    "reference",
    "revoked",
]
