"""Deletion of one image, prompt or event, at its owner's request."""

from functools import partial
from typing import Annotated, Literal

from google.cloud import firestore
from pydantic import AfterValidator, StringConstraints

from astra.erasure import change_gate
from astra.erasure.change_gate import Bar, Barred
from astra.erasure.item import Thing
from astra.runtime import log
from astra.runtime.callables import Answer, Call, Shape
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform

from erasure.settings import DeletionSettings


def _not_reserved(name: str) -> str:
    # Firestore keeps these to itself, and fails on them.
    if name.startswith("__") and name.endswith("__"):
        raise ValueError("can't be the name of anything")
    return name


class DeleteItem(Shape):
    """`id` is the document's, below the caller's own profile."""

    kind: Literal["image", "prompt", "event"]
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$"), AfterValidator(_not_reserved)]


def delete_item(platform: Platform[DeletionSettings], call: Call[DeleteItem]) -> Answer:
    """Delete one of the caller's things. What is gone already is success: after any failure, ask again."""
    uid, now = call.caller.uid, platform.clock()
    thing = Thing(platform, uid, call.data.kind, call.data.id)

    def documents(transaction: firestore.Transaction, *, delete: bool) -> None:
        tombstone, profile, held = fetch(platform.db, *change_gate.reads(platform, uid), transaction=transaction)
        change_gate.refuse(tombstone, profile, held, now, changes=())
        if thing.hold(held, now):  # which knows what a held thing is opened by
            raise Barred(Bar.HELD)
        for document in thing.documents if delete else ():
            transaction.delete(document)

    transact(platform.db, partial(documents, delete=False))
    thing.destroy()
    transact(platform.db, partial(documents, delete=True))
    log.write(log.Event.ITEM_DELETED)
    return {}
