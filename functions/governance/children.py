"""A child's account: frozen when two people have verified the report, then erased, or given back as it was.

    removals/{uid}   {state, before: {state, disabled}, reference, approvers, createdAt, settleDue}

Frozen, nobody can sign in or reach the data, and nothing is deleted: a false report, by a rival say, costs nobody an
image. Sign-in is turned off and on at Auth after the decision was written; `settleDue` until it was, so that `review`
does it again after a crash.
"""

import contextlib
import enum
from functools import partial
from typing import Annotated, Any, Final

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field

from astra import erasure, tlog, tombstones
from astra.callables import Shape
from astra.documents import fetch
from astra.forms import Reference, Uid, sha256_of
from astra.platform import Platform
from astra.privileged import Act, Decision, Denied, Reason, privileged
from astra.pseudonyms import Pseudonym
from astra.settings import Settings
from astra.staff import Role
from astra.transactions import transact

REMOVALS: Final = "removals"
_FROZEN: Final = "frozen"
_UNDONE: Final = "undone"


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
    reads = (act.db.document("users", form.uid), act.db.document(REMOVALS, form.uid))
    profile, removal = fetch(act.db, *reads, transaction=act.transaction)
    state, noted = (profile.to_dict() or {}).get("state"), removal.to_dict() or {}
    if not profile.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.")
    settled = partial(settle, act.platform, form.uid)
    if form.step is Step.FREEZE:
        if state != "active" or noted:
            raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The account is not active, or not yet settled.")
        before = {"state": state, "disabled": _is_disabled(act.platform, form.uid)}

        def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
            fields = {"state": _FROZEN, "before": before, "reference": form.reference, "approvers": approvers}
            transaction.create(removal.reference, {**fields, "createdAt": act.now, "settleDue": True})
            transaction.update(profile.reference, {"state": _FROZEN})

        return _decided(form, write, settled)
    if state != _FROZEN or noted.get("state") != _FROZEN:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The account is not frozen: freeze it first.")
    if form.step is Step.UNDO:

        def undo(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
            transaction.update(removal.reference, {"state": _UNDONE, "settleDue": True})
            transaction.update(profile.reference, {"state": noted["before"]["state"]})

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


def settle(platform: Platform[Settings], uid: str) -> None:
    """Make Auth let an account in, or not, as was decided. May be repeated.

    Of two calls at once the one that began first may reach Auth last, with what holds no more: whoever has told Auth
    anything returns only after a look at which that was what holds, also if the other has finished the removal.
    """
    db, document = platform.db, platform.db.document(REMOVALS, uid)
    tombstone = tombstones.reference(db, platform.pseudonyms.of_uid(uid))
    before: dict[str, Any] = {}
    while True:
        stored, erased = fetch(db, document, tombstone)
        noted = stored.to_dict()
        if not before and not (noted and noted["settleDue"]):
            return
        noted = noted or {"state": _UNDONE, "before": before}
        before = noted["before"]
        # Of who asked to be erased meanwhile, the door stays shut.
        disabled = noted["state"] == _FROZEN or noted["before"]["disabled"] or erased.exists
        with contextlib.suppress(auth.UserNotFoundError):  # deleted at Auth itself: the roll call finds the rest
            auth.update_user(uid, disabled=disabled, app=platform.app)
        if transact(db, partial(_settled, seen=stored, erased=erased)):
            return


def unsettled(platform: Platform[Settings]) -> list[str]:
    """The accounts that a crash has left undecided at Auth."""
    query = platform.db.collection(REMOVALS).where(filter=firestore.FieldFilter("settleDue", "==", True))
    return [removal.id for removal in query.select([]).limit(100).stream()]


def _settled(
    transaction: firestore.Transaction,
    seen: "firestore.DocumentSnapshot[Any]",
    erased: "firestore.DocumentSnapshot[Any]",
) -> bool:
    """Whether all is as it was when Auth was told; then it is noted that it was told."""
    now, stone = fetch(seen.reference._client, seen.reference, erased.reference, transaction=transaction)
    if now.update_time != seen.update_time or stone.exists != erased.exists:
        return False
    if now.exists and now.get("state") == _UNDONE:
        transaction.delete(now.reference)
    elif now.exists:
        transaction.update(now.reference, {"settleDue": False})
    return True


def _decided(form: RemoveChild, write: Any, afterwards: Any = lambda: None) -> Decision:
    # Free text may name somebody: the log commits to it without repeating it.
    record = {"step": form.step.value, "referenceSha256": sha256_of(form.reference)}
    return Decision(write, record, concerns=form.uid, two_people=True, afterwards=afterwards)


def _is_disabled(platform: Platform[Settings], uid: str) -> bool:
    try:
        return bool(auth.get_user(uid, app=platform.app).disabled)
    except auth.UserNotFoundError:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.") from None
