"""Authorization of staff's callables: every handler is decorated with `@privileged(action)`.

One transaction checks who asks, appends the log's entry, and writes what was decided: no entry, no action, and a role
that was revoked, or a security policy that changed, a moment ago counts already, whatever the ID token still says.
A handler reads and checks first, and answers a Decision; it writes nothing itself, because no entry is there yet.

Two people: where a decision takes two, the first one's call proposes and answers `{"id", "state": "proposed"}`; the
second confirms by asking for exactly the same themselves, so that nobody confirms what they have not stated. It counts
for three days, if what it is `about` is still the same, and the first still has the very role that they had then,
without a break, and is neither the second nor the person concerned. Nor does it, where one of the two has their role
from the other alone: who can make a second person would need none. Only where there are no more than two staff in all
it does, or the first CTO would be stuck.

    staff/{uid}/proposals/{id}   {action, role, since, createdAt, expireAt}; id: a keyed hash of the request and `about`

A denied attempt is an entry too, in a transaction of its own: a few an hour for each person and for all of them, so
that nobody floods the log; beyond that it is in the logs of the functions alone.
"""

import enum
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra import policies, tlog
from astra.accounts import tombstones
from astra.datamap.expiry import has_expired
from astra.datamap.lookup import lives
from astra.policies import Policy
from astra.runtime import log
from astra.runtime.callables import Answer, Call, Caller, Shape
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.rate_limits import Limit, TooMany, Unknown
from astra.runtime.settings import RedisSettings
from astra.staff import freezes, members
from astra.staff.members import Member, Role
from astra.staff.permissions import PERMISSIONS, Permission

_PROPOSALS: Final = "staff-proposals"
_SMALL_TEAM_MEMBERS: Final = 2
_MEMBER_LIMIT: Final = Limit(5, timedelta(hours=1), fails_closed=True)
_STAFF_LIMIT: Final = Limit(100, timedelta(hours=1), fails_closed=True)

M = TypeVar("M", bound=Shape)


class Reason(enum.StrEnum):
    """Why somebody was denied."""

    SESSION_ENDED = "session-ended"
    NO_ROLE = "no-role"
    WRONG_ROLE = "wrong-role"
    POLICY_NOT_ACCEPTED = "security-policy-not-accepted"
    CONCERNS_THEMSELVES = "concerns-themselves"
    DEPENDENT = "dependent"
    FROZEN = "frozen"


_WORDS: Final = {
    Reason.SESSION_ENDED: (FunctionsErrorCode.UNAUTHENTICATED, "Your sign-in no longer counts. Sign in again."),
    Reason.NO_ROLE: (FunctionsErrorCode.PERMISSION_DENIED, "This is for staff."),
    Reason.WRONG_ROLE: (FunctionsErrorCode.PERMISSION_DENIED, "Your role does not allow this."),
    Reason.POLICY_NOT_ACCEPTED: (
        FunctionsErrorCode.FAILED_PRECONDITION,
        "The security policy has changed: read it and accept it first.",
    ),
    Reason.CONCERNS_THEMSELVES: (
        FunctionsErrorCode.PERMISSION_DENIED,
        "It concerns yourself: somebody else must do it.",
    ),
    Reason.FROZEN: (
        FunctionsErrorCode.FAILED_PRECONDITION,
        "A breach is being contained: nothing is done meanwhile but what contains it.",
    ),
    Reason.DEPENDENT: (
        FunctionsErrorCode.PERMISSION_DENIED,
        "One of you has their role from the other alone: somebody else must confirm it.",
    ),
}


class Denied(Exception):
    """Whoever asks may not do this."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True)
class Act:
    """What a handler is given: its collaborators, the transaction to read in, and who acts."""

    platform: Platform[Any]
    transaction: firestore.Transaction
    now: datetime
    actor: Pseudonym
    role: Role

    @property
    def db(self) -> firestore.Client:
        """The default database."""
        return self.platform.db

    def subject(self, uid: str) -> Pseudonym:
        """The pseudonym of somebody whom this concerns."""
        return self.platform.pseudonyms.of_uid(uid)


Write = Callable[[firestore.Transaction, list[Pseudonym]], None]
"""Writes what was decided. The second argument is who approved it: one person, or two."""


@dataclass(frozen=True)
class Decision:
    """What is to be done, now that all was read and nothing speaks against it.

    `record` is what the log keeps, people by pseudonyms alone. `afterwards` is what lies outside the database: it may
    be lost, so something else must do it again.
    """

    write: Write
    record: dict[str, Any]
    concerns: str | None = None
    """The account id of the person whom it concerns."""
    two_people: bool = False
    about: str = ""
    """What both people must have had before them though the request does not say it: if it changes, both begin anew."""
    answer: Answer = field(default_factory=dict)
    afterwards: Callable[[], None] = lambda: None


def privileged(
    action: tlog.Action,
) -> Callable[[Callable[[Act, M], Decision]], Callable[[Platform[Any], Call[M]], Answer]]:
    """Let a handler run for those whom PERMISSIONS allows `action`, as the module says."""

    permission = PERMISSIONS[action]

    def decorate(handler: Callable[[Act, M], Decision]) -> Callable[[Platform[Any], Call[M]], Answer]:
        @functools.wraps(handler)
        def handle(platform: Platform[Any], call: Call[M]) -> Answer:
            caller = call.caller
            attempt = _Attempt(platform, caller.uid, action, permission, platform.clock())
            try:
                _refuse_ended(platform, caller)
                decision, answer = transact(platform.db, lambda body: attempt.run(body, handler, call.data))
            except Denied as denied:
                _record(platform, platform.pseudonyms.of_uid(caller.uid), action, denied.reason)
                raise HttpsError(*_WORDS[denied.reason]) from None
            if decision:
                try:
                    decision.afterwards()
                except Exception as error:  # noqa: BLE001  (it is done and logged; what is missing is done again)
                    log.failure(log.Event.FOLLOW_UP_FAILED, error)
            return answer

        handle.__privileged__ = action  # type: ignore[attr-defined]
        return handle

    return decorate


@dataclass(frozen=True)
class _Attempt:
    """One attempt of somebody at an action."""

    platform: Platform[Any]
    uid: str
    action: tlog.Action
    permission: Permission
    now: datetime

    def run(
        self, transaction: firestore.Transaction, handler: Callable[[Act, M], Decision], data: M
    ) -> tuple[Decision | None, Answer]:
        """All of it, in one transaction; may run again. The decision, if it was carried out, and the answer."""
        db, actor = self.platform.db, self.platform.pseudonyms.of_uid(self.uid)
        required = policies.current(db, self.now, policies.SECURITY, transaction)
        frozen = freezes.reference(db, freezes.Control.STAFF)
        stored, erased, control = fetch(
            db, members.reference(db, self.uid), tombstones.reference(db, actor), frozen, transaction=transaction
        )
        member = Member.of(stored, self.now)
        role = self._allowed(member, required, erased=erased.exists)
        if freezes.is_frozen(control) and not self.permission.while_frozen:
            raise Denied(Reason.FROZEN)
        decision = handler(Act(self.platform, transaction, self.now, actor, role), data)
        if decision.concerns == self.uid:
            raise Denied(Reason.CONCERNS_THEMSELVES)
        if not decision.two_people:
            if role not in self.permission.roles:
                raise Denied(Reason.WRONG_ROLE)
            self._carry_out(transaction, decision, actor, [actor])
            return decision, {"state": "done", **decision.answer}
        asked = data.model_dump_json() + decision.about
        name = self.platform.pseudonyms.of_proposal(self.action.value, asked)
        own = stored.reference.collection("proposals").document(name)
        first = self._proposed(transaction, name, member, required)
        if first:
            self._carry_out(transaction, decision, actor, [self.platform.pseudonyms.of_uid(first[0].uid), actor])
            transaction.delete(first[1])
            transaction.delete(own)
            return decision, {"id": name, "state": "done", **decision.answer}
        if role not in self.permission.roles:
            raise Denied(Reason.WRONG_ROLE)
        self._append(transaction, decision, actor, state="proposed")
        lasts = {"createdAt": self.now, "expireAt": self.now + lives(_PROPOSALS)}
        transaction.set(own, {"action": self.action.value, "role": role.value, "since": member.since, **lasts})
        return None, {"id": name, "state": "proposed"}

    def _allowed(self, member: Member, required: Policy, *, erased: bool) -> Role:
        if member.role is None or erased:
            raise Denied(Reason.NO_ROLE)
        if member.role not in self.permission.roles | self.permission.confirm:
            raise Denied(Reason.WRONG_ROLE)
        if not member.accepted(required):
            raise Denied(Reason.POLICY_NOT_ACCEPTED)
        return member.role

    def _proposed(
        self, transaction: firestore.Transaction, name: Pseudonym, second: Member, required: Policy
    ) -> tuple[Member, firestore.DocumentReference] | None:
        """Somebody else who has proposed the same and still may, and their proposal. Raises Denied if none of those
        who have is independent of the `second`."""
        db, dependent = self.platform.db, False
        found = members.find_members(db, self.now, *self.permission.roles, transaction=transaction)
        others = [one for one in found if one.uid != self.uid and one.accepted(required)]
        others = members.present(self.platform, others, transaction)
        proposals = [members.reference(db, one.uid).collection("proposals").document(name) for one in others]
        for member, stored in zip(others, fetch(db, *proposals, transaction=transaction), strict=True):
            proposal = stored.to_dict() or {}
            as_then = (proposal.get("role"), proposal.get("since")) == (member.role, member.since)
            if not stored.exists or has_expired(proposal, self.now) or not as_then:
                continue
            if not self._are_one(member, second) or self._are_few(transaction):
                return member, stored.reference
            dependent = True
        if dependent:
            raise Denied(Reason.DEPENDENT)
        return None

    def _are_one(self, first: Member, second: Member) -> bool:
        """Whether one of two has their role from the other alone."""
        names = self.platform.pseudonyms
        return first.granted_by == (names.of_uid(second.uid),) or second.granted_by == (names.of_uid(first.uid),)

    def _are_few(self, transaction: firestore.Transaction) -> bool:
        everybody = members.find_members(self.platform.db, self.now, transaction=transaction)
        return len(members.present(self.platform, everybody, transaction)) <= _SMALL_TEAM_MEMBERS

    def _carry_out(
        self, transaction: firestore.Transaction, decision: Decision, actor: Pseudonym, approvers: list[Pseudonym]
    ) -> None:
        self._append(transaction, decision, actor, state="done", approvers=[*approvers])
        decision.write(transaction, approvers)

    def _append(self, transaction: firestore.Transaction, decision: Decision, actor: Pseudonym, **more: Any) -> None:
        subject = self.platform.pseudonyms.of_uid(decision.concerns) if decision.concerns else None
        entry = tlog.Entry(self.action, decision.record | more, self.now, subject, actor)
        tlog.append(transaction, self.platform.db, entry)


def _refuse_ended(platform: Platform[Any], caller: Caller) -> None:
    """Raise Denied if Auth would not let the caller in any more: a minted token lives on for up to an hour."""
    try:
        user = auth.get_user(caller.uid, app=platform.app)
    except auth.UserNotFoundError:
        raise Denied(Reason.SESSION_ENDED) from None
    valid_after = datetime.fromtimestamp((user.tokens_valid_after_timestamp or 0) / 1000, UTC)
    if user.disabled or caller.signed_in_at < valid_after:
        raise Denied(Reason.SESSION_ENDED)


def _record(platform: Platform[RedisSettings], actor: Pseudonym, action: tlog.Action, reason: Reason) -> None:
    """Log a denied attempt, unless there have been too many. It is denied whether or not this succeeds."""
    log.write(log.Event.ACCESS_DENIED, severity=logging.WARNING, actor=actor, action=action, reason=reason)
    record = {"action": action.value, "reason": reason.value}
    entry = tlog.Entry(tlog.Action.ACCESS_DENIED, record, platform.clock(), None, actor)
    try:
        platform.limits.admit(actor, "denied", _MEMBER_LIMIT)
        platform.limits.admit("everybody", "denied", _STAFF_LIMIT)
        transact(platform.db, lambda transaction: tlog.append(transaction, platform.db, entry))
    except (TooMany, Unknown):
        return  # the line above stands for it
    except Exception as error:  # noqa: BLE001
        log.failure(log.Event.FAILED, error)
