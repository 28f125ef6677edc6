"""Permissions: which roles may do which action. What is not listed is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from astra.staff.members import Role
from astra.tlog import Action


@dataclass(frozen=True)
class Permission:
    """`roles` may do it alone or, where it takes two people, propose and confirm it; `confirm` may only confirm it."""

    roles: frozenset[Role]
    confirm: frozenset[Role] = frozenset()
    while_frozen: bool = False
    """True if it contains a breach: it is possible while staff access is frozen."""


_LEAD: Final = frozenset({Role.SECURITY, Role.CTO})
_DATA: Final = frozenset({Role.PRIVACY, Role.CTO})
_DATA_PROTECTION: Final = frozenset({Role.PRIVACY, Role.SECURITY, Role.CTO})

PERMISSIONS: Final[Mapping[Action, Permission]] = MappingProxyType(
    {
        # A first CTO is alone: somebody whom they gave a lesser role can confirm the next.
        Action.ROLE_GRANTED: Permission(_LEAD, confirm=frozenset({Role.PRIVACY})),
        Action.ROLE_REVOKED: Permission(_LEAD, confirm=frozenset({Role.PRIVACY}), while_frozen=True),
        Action.REVIEW_SIGNED: Permission(frozenset({Role.CTO})),
        Action.HOLD_PLACED: Permission(_DATA_PROTECTION, while_frozen=True),
        Action.HOLD_RELEASED: Permission(_DATA_PROTECTION),
        Action.DISCLOSURE_RECORDED: Permission(_DATA_PROTECTION),
        Action.ROLL_CALL_SWITCHED: Permission(_DATA_PROTECTION, while_frozen=True),
        Action.PROCESSOR_REGISTERED: Permission(_DATA),
        # At 3 a.m. one person is enough for all but what people are told.
        Action.INCIDENT_OPENED: Permission(_DATA_PROTECTION, while_frozen=True),
        Action.INCIDENT_CONFIRMED: Permission(_LEAD, while_frozen=True),
        Action.INCIDENT_CONTAINED: Permission(_LEAD, while_frozen=True),
        Action.INCIDENT_DESCRIBED: Permission(_DATA_PROTECTION, while_frozen=True),
        Action.REGULATOR_TOLD: Permission(_DATA_PROTECTION, while_frozen=True),
        Action.NOTICE_DELAYED: Permission(_LEAD, while_frozen=True),
        Action.NOTICE_APPROVED: Permission(_LEAD, confirm=frozenset({Role.PRIVACY}), while_frozen=True),
        Action.PEOPLE_RULED_OUT: Permission(_LEAD, confirm=frozenset({Role.PRIVACY}), while_frozen=True),
        Action.INCIDENT_CLOSED: Permission(_LEAD, while_frozen=True),
        Action.POLICY_ANNOUNCED: Permission(_DATA),
        Action.POLICY_WITHDRAWN: Permission(_DATA),
        Action.TRANSFER_PLANNED: Permission(_DATA),
        Action.TRANSFER_CANCELLED: Permission(_DATA_PROTECTION),
        Action.CAMPAIGN_SENT: Permission(_DATA_PROTECTION),
        Action.CAMPAIGN_STOPPED: Permission(_DATA_PROTECTION | {Role.SUPPORT}),
        Action.CAMPAIGN_RESUMED: Permission(_DATA_PROTECTION),
        Action.CAMPAIGN_PREVIEWED: Permission(_DATA_PROTECTION | {Role.SUPPORT}),
        # Whoever reads the parents' letters may say that there is one; who confirms it looks at it again.
        Action.CHILD_REMOVED: Permission(_DATA_PROTECTION | {Role.SUPPORT}),
    }
)
