"""Deletion of one image, prompt or event, at its owner's request."""

from contextlib import suppress
from functools import partial
from typing import Annotated, Literal

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.api_core.exceptions import NotFound
from google.cloud import firestore
from pydantic import AfterValidator, StringConstraints

from astra import holds, log, tombstones
from astra.callables import Answer, Call, Shape
from astra.datamap import DATA_MAP
from astra.entries import Entry, Store, Subject
from astra.platform import Platform
from astra.settings import ErasureSettings
from astra.transactions import transact


def _not_reserved(name: str) -> str:
    # Firestore keeps these to itself, and fails on them.
    if name.startswith("__") and name.endswith("__"):
        raise ValueError("can't be the name of anything")
    return name


class DeleteItem(Shape):
    """`id` is the document's, below the caller's own profile."""

    kind: Literal["image", "prompt", "event"]
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$"), AfterValidator(_not_reserved)]


def delete_item(platform: Platform[ErasureSettings], call: Call[DeleteItem]) -> Answer:
    """Delete one of the caller's things. What is gone already is success: after any failure, ask again.

    The key goes first, which makes every copy noise; the record last, so that an unfinished deletion stays visible.
    """
    uid, now = call.caller.uid, platform.clock()
    subject = platform.pseudonyms.of_uid(uid)
    person = Subject(uid, subject, email=None, asked_at=now)
    places = [(entry, str(person.item(entry, call.data.id))) for entry in DATA_MAP if entry.item == call.data.kind]

    def documents(transaction: firestore.Transaction, *, delete: bool) -> None:
        tombstones.refuse_erased(transaction, platform.db, subject)
        stored = holds.reference(platform.db, subject).get(transaction=transaction)
        # A held prompt is opened by the key of the image that was made of it.
        held = holds.with_keys(holds.held(stored, now), lambda entry: _is_there(platform, person, entry, call.data.id))
        if any(entry.name in held for entry, _ in places):
            raise HttpsError(
                FunctionsErrorCode.FAILED_PRECONDITION,
                "A legal obligation keeps this for now. It goes when the obligation ends and you ask again.",
            )
        for entry, place in places:
            if delete and entry.store is Store.FIRESTORE:
                transaction.delete(platform.db.document(place))

    try:
        transact(platform.db, partial(documents, delete=False))
        for entry, place in places:
            if entry.store is Store.VAULT:
                platform.vault_db.document(place).delete()
        for entry, place in places:
            if entry.store is Store.STORAGE:
                _delete_object(platform, place)
        transact(platform.db, partial(documents, delete=True))
    except tombstones.Erased:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.") from None
    log.write(log.Event.ITEM_DELETED)
    return {}


def _is_there(platform: Platform[ErasureSettings], person: Subject, entry: Entry, item_id: str) -> bool:
    place = person.item(entry, item_id)
    return entry.store is Store.FIRESTORE and platform.db.document(str(place)).get(["__name__"]).exists


def _delete_object(platform: Platform[ErasureSettings], name: str) -> None:
    """Every generation of one object. A longer name that begins alike is another's."""
    for blob in platform.bucket.list_blobs(prefix=name, versions=True):
        if blob.name == name:
            with suppress(NotFound):
                blob.delete(if_generation_match=blob.generation)
