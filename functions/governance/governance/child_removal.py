"""Child removal: two people freeze a reported account, then erase or restore it.

    removals/{uid}   {state, before: {state, disabled}, reference, approvers, createdAt, settleDue}

Frozen, nobody can sign in or reach the data, and nothing is deleted: a false report, by a rival say, costs nobody an
image. Sign-in is turned off and on at Auth after the decision was written, see `astra.accounts.state`; `review` does
it again after a crash. A breach may hold the same account: what either holds stays frozen until both are undone.
"""

import enum
from functools import partial
from typing import Annotated, Any

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field

from astra import erasure, tlog
from astra.accounts import activity
from astra.accounts import state as account_state
from astra.accounts.state import ProfileState, RemovalState, settle
from astra.runtime.callables import Shape
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.staff import Role
from astra.staff.fields import Reference, Uid, sha256_of
from astra.staff.privileged import Act, Decision, Denied, Reason, privileged


class Step(enum.StrEnum):
    """What is to be done."""

    FREEZE = "freeze"
    ERASE = "erase"
    UNDO = "undo"


class RemoveChild(Shape):
    """`reference` is the ticket in which the report was verified, or found to be false."""

    uid: Uid
    step: Annotated[Step, Field(strict=False)]
    reference: Reference


@privileged(tlog.Action.CHILD_REMOVED)
def remove_child(act: Act, form: RemoveChild) -> Decision:
    """Freeze an account that is said to be a child's; then erase it, or undo the freeze. Each takes two people."""
    reads = ("users", account_state.REMOVALS, account_state.SUSPENSIONS)
    references = (act.db.document(collection, form.uid) for collection in reads)
    profile, removal, suspension = fetch(act.db, *references, transaction=act.transaction)
    state, noted = (profile.to_dict() or {}).get("state"), removal.to_dict() or {}
    if not profile.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.")
    settled = partial(settle, act.platform, form.uid)
    if form.step is Step.FREEZE:
        # Frozen without a removal: a breach holds it.
        if state not in (ProfileState.ACTIVE, ProfileState.FROZEN) or noted:
            raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The account is not active, or not yet settled.")
        disabled = account_state.was_disabled(act.platform, form.uid, removal, suspension)
        before = {"state": ProfileState.ACTIVE.value, "disabled": disabled}

        def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
            fields: dict[str, Any] = {"state": RemovalState.FROZEN.value, "before": before, "reference": form.reference}
            fields |= {"approvers": approvers, "createdAt": act.now, "settleDue": True}
            transaction.create(removal.reference, fields)
            transaction.update(profile.reference, {"state": ProfileState.FROZEN.value})

        return _decided(form, write, settled)
    if state != ProfileState.FROZEN or noted.get("state") != RemovalState.FROZEN:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The account is not frozen: freeze it first.")
    if form.step is Step.UNDO:

        def undo(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
            transaction.update(removal.reference, {"state": RemovalState.UNDONE.value, "settleDue": True})
            is_over = not account_state.suspends(suspension)
            frozen = {"state": ProfileState.FROZEN.value}
            changes = activity.thawed(profile.to_dict() or {}, act.now) if is_over else frozen
            transaction.update(profile.reference, changes)

        return _decided(form, undo, settled)
    if act.role is Role.SUPPORT:
        raise Denied(Reason.WRONG_ROLE)  # they may report; what can't be undone is others'
    if erasure.reference(act.db, act.subject(form.uid)).get(["state"], transaction=act.transaction).exists:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The account is being erased already.")

    def erase(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
        erasure.intend(transaction, act.platform, form.uid, act.now, has_profile=True)
        # To the account's address, which is a parent's if anybody's: they get the receipt.
        erasure.confirm(transaction, act.platform, form.uid, act.now)

    return _decided(form, erase)


def unsettled(platform: Platform[Settings]) -> list[str]:
    """The accounts that a crash has left undecided at Auth."""
    return account_state.unsettled(platform, account_state.REMOVALS)


def _decided(form: RemoveChild, write: Any, afterwards: Any = lambda: None) -> Decision:
    # Free text may name somebody: the log commits to it without repeating it.
    record = {"step": form.step.value, "referenceSha256": sha256_of(form.reference)}
    return Decision(write, record, concerns=form.uid, two_people=True, afterwards=afterwards)
