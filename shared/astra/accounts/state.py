"""Account lockout by a child-removal case or a breach suspension, until both have ended.

    removals/{uid}      {state, before: {disabled, …}, settleDue, …}: a reported child; see `child_removal`
    suspensions/{uid}   {incidents, disabled, before, at, settleDue}: see `contain`

While either holds, the profile is `frozen`, which rules and handlers refuse at once, and the account is disabled at
Auth, which keeps whoever it is from a new token. The profile follows in the decision's own transaction; Auth lies
outside, and follows it: `settleDue` until it did.
"""

import contextlib
import enum
from functools import partial
from typing import Any, Final

from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra.accounts import tombstones
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform

REMOVALS: Final = "removals"
SUSPENSIONS: Final = "suspensions"

Snapshot = firestore.DocumentSnapshot


class ProfileState(enum.StrEnum):
    """The state of an account, in its profile."""

    ACTIVE = "active"
    FROZEN = "frozen"
    """Kept out for now, by a child's removal or to contain a breach."""
    ERASING = "erasing"


class RemovalState(enum.StrEnum):
    """The state of a child's removal."""

    FROZEN = "frozen"
    UNDONE = "undone"
    """Until Auth has let the account in again."""


def removes(removal: "Snapshot[Any]") -> bool:
    """Whether a child's removal holds the account."""
    return (removal.to_dict() or {}).get("state") == RemovalState.FROZEN


def suspends(suspension: "Snapshot[Any]") -> bool:
    """Whether a breach holds the account."""
    return bool((suspension.to_dict() or {}).get("disabled"))


def was_disabled(platform: Platform[Any], uid: str, removal: "Snapshot[Any]", suspension: "Snapshot[Any]") -> bool:
    """Whether Auth kept them out before either held. Refuses the request if Auth does not know them."""
    noted = _before(removal, suspension)
    if noted is not None:
        return noted
    try:
        return bool(auth.get_user(uid, app=platform.app).disabled)
    except auth.UserNotFoundError:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.") from None


def _before(removal: "Snapshot[Any]", suspension: "Snapshot[Any]") -> bool | None:
    if removal.exists:
        return bool(removal.get("before")["disabled"])
    return bool(suspension.get("before")) if suspension.exists else None


def settle(platform: Platform[Any], uid: str) -> None:
    """Make Auth let an account in, or not, as was decided. May be repeated.

    Of two calls at once the one that began first may reach Auth last, with what holds no more: whoever has told Auth
    anything returns only after a look at which that was what holds, also if the other has finished meanwhile.
    """
    db, stone = platform.db, tombstones.reference(platform.db, platform.pseudonyms.of_uid(uid))
    places = db.document(REMOVALS, uid), db.document(SUSPENSIONS, uid), stone
    before: bool | None = None
    while True:
        seen = fetch(db, *places)
        removal, suspension, erased = seen
        signs_out = _is_due(suspension)
        if before is None and not (_is_due(removal) or signs_out):
            return
        noted = _before(removal, suspension)
        before = bool(before) if noted is None else noted
        # Of who asked to be erased meanwhile, the door stays shut.
        changes: dict[str, Any] = {"disabled": removes(removal) or suspends(suspension) or before or erased.exists}
        if signs_out:
            changes["valid_since"] = int(suspension.get("at").timestamp())
        with contextlib.suppress(auth.UserNotFoundError):  # deleted at Auth itself: the roll call finds the rest
            auth.update_user(uid, **changes, app=platform.app)
        if transact(db, partial(_settled, seen=seen)):
            return


def unsettled(platform: Platform[Any], collection: str) -> list[str]:
    """The accounts that a crash has left undecided at Auth."""
    query = platform.db.collection(collection).where(filter=firestore.FieldFilter("settleDue", "==", True))
    return [stored.id for stored in query.select([]).limit(100).get()]


def _is_due(stored: "Snapshot[Any]") -> bool:
    return bool((stored.to_dict() or {}).get("settleDue"))


def _settled(transaction: firestore.Transaction, seen: "list[Snapshot[Any]]") -> bool:
    """Whether all is as it was when Auth was told; then it is noted that it was told."""
    now = fetch(seen[0].reference._client, *(one.reference for one in seen), transaction=transaction)
    if [one.update_time for one in now] != [one.update_time for one in seen]:
        return False
    removal, suspension, _ = now
    for stored, holds in ((removal, removes(removal)), (suspension, suspends(suspension))):
        if stored.exists and not holds:
            transaction.delete(stored.reference)
        elif stored.exists:
            transaction.update(stored.reference, {"settleDue": False})
    return True
