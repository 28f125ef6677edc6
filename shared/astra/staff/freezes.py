"""Freezes of exports and of staff actions while a breach is contained.

controls/{name}   {frozen, incidents, at}: frozen as long as any incident holds it
"""

import enum
from typing import Any, Final

from google.cloud import firestore

CONTROLS: Final = "controls"


class Control(enum.StrEnum):
    """What can be frozen."""

    EXPORTS = "exports"
    """Nobody gets their data out; who asks is told that it comes later. The law's month goes on."""
    STAFF = "staff"
    """Staff do nothing but what contains a breach."""


class Frozen(Exception):
    """It is frozen: what was asked for has to wait."""


def reference(db: firestore.Client, control: Control) -> firestore.DocumentReference:
    """Where it is written whether something is frozen."""
    return db.collection(CONTROLS).document(control.value)


def is_frozen(stored: "firestore.DocumentSnapshot[Any]") -> bool:
    """Whether it is, by its document as read."""
    return bool((stored.to_dict() or {}).get("frozen"))


def refuse_frozen(db: firestore.Client, control: Control, transaction: firestore.Transaction | None = None) -> None:
    """Raise Frozen if it is. Whoever gives data out asks this first."""
    if is_frozen(reference(db, control).get(["frozen"], transaction=transaction)):
        raise Frozen
