"""Change gate: whether a person may change their data, or have it changed, now.

Every change that a person asks for passes it, in the transaction that makes the change. It bars a change

    erasing      while their account is being deleted: it has a tombstone, or its profile says so
    no-profile   where there is no profile
    frozen       while the account is frozen: a reported child, a breach that is being contained, a missing account
    held         while a legal hold names what would be changed

Exceptions, which callers name by `even_if`: neither a freeze nor a hold bars the withdrawal of a consent or
`accept_policy`; no hold bars `delete_account`, for the cascade keeps what is held. Reading one's own data changes
nothing and does not pass here.
"""

import enum
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra.accounts import tombstones
from astra.accounts.state import ProfileState
from astra.erasure import legal_holds
from astra.runtime.platform import Platform

Snapshot = firestore.DocumentSnapshot


class Bar(enum.StrEnum):
    """What bars a change. A refusal carries it as `details.reason`."""

    ERASING = "erasing"
    NO_PROFILE = "no-profile"
    FROZEN = "frozen"
    HELD = "held"


_REFUSALS: Final = {
    Bar.ERASING: (FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted."),
    Bar.NO_PROFILE: (
        FunctionsErrorCode.PERMISSION_DENIED,
        "This account is not active: it has no profile.",
    ),
    Bar.FROZEN: (FunctionsErrorCode.PERMISSION_DENIED, "This account is not active: it is frozen. Write to us."),
    Bar.HELD: (
        FunctionsErrorCode.FAILED_PRECONDITION,
        "A legal obligation keeps this as it is for now. Ask again when the obligation has ended.",
    ),
}
WITHDRAWAL: Final = frozenset({Bar.FROZEN, Bar.HELD})
"""What does not bar the withdrawal of a consent, nor the acceptance of a policy."""


class Barred(HttpsError):
    """The change is barred: a refusal that a callable can answer as it is."""

    def __init__(self, bar: Bar) -> None:
        super().__init__(*_REFUSALS[bar], {"reason": bar.value})
        self.bar = bar


def reads(platform: Platform[Any], uid: str) -> tuple[firestore.DocumentReference, ...]:
    """What decides about a person's changes, in the order in which `refuse` takes it."""
    subject = platform.pseudonyms.of_uid(uid)
    profile = platform.db.collection("users").document(uid)
    return tombstones.reference(platform.db, subject), profile, legal_holds.reference(platform.db, subject)


def refuse(
    tombstone: "Snapshot[Any]",
    profile: "Snapshot[Any]",
    held: "Snapshot[Any]",
    now: datetime,
    *,
    changes: Collection[str],
    even_if: Collection[Bar] = (),
) -> None:
    """Raise Barred unless the person may change what the entries `changes` of the data map name, as read now."""
    is_held = not set(changes).isdisjoint(legal_holds.held(held, now))
    for bar in (state_bar(tombstone, profile), Bar.HELD if is_held else None):
        if bar is not None and bar not in even_if:
            raise Barred(bar)


def state_bar(tombstone: "Snapshot[Any] | None", profile: "Snapshot[Any]") -> Bar | None:
    """What of an account's state bars every change of its own; None if nothing does."""
    state = (profile.to_dict() or {}).get("state")
    if (tombstone is not None and tombstone.exists) or state == ProfileState.ERASING:
        return Bar.ERASING
    if state == ProfileState.ACTIVE:
        return None
    return Bar.FROZEN if state == ProfileState.FROZEN else Bar.NO_PROFILE
