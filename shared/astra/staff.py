"""Staff: who has which role, and has accepted the security policy that is in force.

    staff/{uid}                   {role, until, policyVersion, policySha256, acceptedAt, since, grantedBy, claimDue}
    staff/{uid}/proposals/{id}    see `privileged`

This document decides, and not the custom claim `role` of an ID token, which goes on saying what was true when it was
minted for up to an hour. The claim follows the document: `claimDue` until it does, so that a crash in between is mended
by the `review` schedule.

`python -m astra.staff first-cto ACCOUNT` makes the first CTO, and works only while there is none; `… list` shows
everybody.
"""

import enum
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Self

from firebase_admin import auth
from google.cloud import firestore

from astra import operator, policy, tlog, tombstones
from astra.documents import fetch
from astra.platform import Platform
from astra.policy import Policy
from astra.pseudonyms import Pseudonym
from astra.settings import Settings
from astra.transactions import transact

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


def members(
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


def appoint_first(platform: Platform[Settings], uid: str) -> None:
    """Make an account the CTO of a project that has none; raises LookupError saying why not."""
    db, now, subject = platform.db, platform.clock(), platform.pseudonyms.of_uid(uid)

    def body(transaction: firestore.Transaction) -> None:
        if members(db, now, Role.CTO, transaction=transaction):
            raise LookupError("there is a CTO already: roles are granted by `grant_role`")
        required = policy.current(db, now, policy.SECURITY, transaction)
        stored, erased = fetch(db, reference(db, uid), tombstones.reference(db, subject), transaction=transaction)
        if erased.exists or not Member.of(stored, now).accepted(required):
            raise LookupError(f"they must sign in and accept the security policy {required.version} first")
        record = {"role": Role.CTO.value, "state": "first"}
        tlog.append(transaction, db, tlog.Entry(tlog.Action.ROLE_GRANTED, record, now, subject))
        transaction.update(stored.reference, granted(Role.CTO, [], now))

    transact(db, body)
    mirror(platform, uid)


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    parser = operator.Parser(prog="python -m astra.staff", description="Look after staff.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="who has which role, and has accepted which security policy")
    verbs.add_parser("first-cto", help="make the first CTO, while there is none").add_argument("account")
    chosen = parser.parse_args()
    with operator.platform(Settings, chosen, acts=chosen.verb != "list") as platform:
        if chosen.verb == "list":
            found = members(platform.db, platform.clock())
            for member in sorted(found, key=lambda member: (member.role or "", member.uid)):
                print(f"{member.role}\t{member.uid}\t{member.policy_version}")  # noqa: T201
            return 0
        try:
            appoint_first(platform, chosen.account)
        except LookupError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
