"""Staff roles: accepting the security policy, granting and revoking."""

from typing import Annotated

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field, StringConstraints

from astra import policies, staff, tlog
from astra.accounts import tombstones
from astra.erasure import change_gate
from astra.erasure.change_gate import Bar
from astra.runtime.callables import Answer, Call, Shape
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.staff import TWO_PEOPLE, Member, Role
from astra.staff.fields import Moment, Uid
from astra.staff.privileged import Act, Decision, privileged


class AcceptSecurityPolicy(Shape):
    """Version and SHA-256 of the text that was read: nobody accepts what they have not got."""

    version: Annotated[str, StringConstraints(max_length=60)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class GrantRole(Shape):
    """`until` ends a contractor's role by itself."""

    uid: Uid
    role: Annotated[Role, Field(strict=False)]
    until: Moment | None = None


class RevokeRole(Shape):
    """Whose role ends."""

    uid: Uid


def accept_security_policy(platform: Platform[Settings], call: Call[AcceptSecurityPolicy]) -> Answer:
    """Accept the security policy in force: before a role is granted, and again whenever there is a new version."""
    db, now, uid = platform.db, platform.clock(), call.caller.uid
    subject = platform.pseudonyms.of_uid(uid)

    def body(transaction: firestore.Transaction) -> None:
        required = policies.current(db, now, policies.SECURITY, transaction)
        reads = (*change_gate.reads(platform, uid), staff.reference(db, uid))
        erased, profile, held, stored = fetch(db, *reads, transaction=transaction)
        member = Member.of(stored, now)
        # Staff need no profile.
        even_if = {Bar.NO_PROFILE} if member.role else ()
        change_gate.refuse(erased, profile, held, now, changes={"staff"}, even_if=even_if)
        if (call.data.version, call.data.sha256) != (required.version, required.sha256):
            raise HttpsError(
                FunctionsErrorCode.FAILED_PRECONDITION,
                f"The security policy in force is {required.version}: read that one, and accept it.",
            )
        if member.accepted(required):
            return
        record = {"version": required.version, "sha256": required.sha256}
        action = tlog.Action.SECURITY_POLICY_ACCEPTED
        tlog.append(transaction, db, tlog.Entry(action, record, now, subject, subject))
        transaction.set(stored.reference, staff.accepted(required, now), merge=True)

    transact(db, body)
    return {"version": call.data.version}


@privileged(tlog.Action.ROLE_GRANTED)
def grant_role(act: Act, form: GrantRole) -> Decision:
    """Give a role to somebody who has none. `security` and `cto` take two people."""
    required = policies.current(act.db, act.now, policies.SECURITY, act.transaction)
    member = _read(act, form.uid)
    if form.until is not None and form.until <= act.now:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "until: must lie in the future")
    if member.role is not None:
        raise HttpsError(
            FunctionsErrorCode.ALREADY_EXISTS, f"They have the role {member.role}: revoke it first to change it."
        )
    if not member.accepted(required):
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, f"They must accept the security policy {required.version} first."
        )

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        transaction.update(staff.reference(act.db, form.uid), staff.granted(form.role, approvers, act.now, form.until))

    return Decision(
        write,
        {"role": form.role.value, "until": form.until and int(form.until.timestamp())},
        concerns=form.uid,
        two_people=form.role in TWO_PEOPLE,
        afterwards=lambda: staff.mirror(act.platform, form.uid),
    )


@privileged(tlog.Action.ROLE_REVOKED)
def revoke_role(act: Act, form: RevokeRole) -> Decision:
    """End somebody's role, from this moment on. `security` and `cto` take two people."""
    role = _read(act, form.uid).role
    if role is None:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "They have no role.")

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        transaction.update(staff.reference(act.db, form.uid), staff.revoked(approvers, act.now))

    return Decision(
        write,
        {"role": role.value},
        concerns=form.uid,
        two_people=role in TWO_PEOPLE,
        afterwards=lambda: staff.mirror(act.platform, form.uid),
    )


def _read(act: Act, uid: str) -> Member:
    reads = (staff.reference(act.db, uid), tombstones.reference(act.db, act.subject(uid)))
    stored, erased = fetch(act.db, *reads, transaction=act.transaction)
    if erased.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.")
    return Member.of(stored, act.now)
