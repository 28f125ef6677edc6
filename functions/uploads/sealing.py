"""From an upload in the clear to a sealed image.

The order makes every crash harmless: key, sealed object, record, and only then the plaintext goes. Whatever died in
between, the same event again finishes the work; the record says when there is nothing left to do.
"""

import io
import re
from dataclasses import asdict
from typing import Any, Final

from google.api_core.exceptions import NotFound
from google.cloud import firestore
from google.cloud.storage import Blob

import intake
from astra import log, tombstones, vault
from astra.platform import Platform
from astra.settings import SealingSettings
from astra.tombstones import Erased
from astra.transactions import transact

_INCOMING: Final = "incoming/"
_UPLOAD: Final = re.compile(r"incoming/([A-Za-z0-9_-]{1,128})/([A-Za-z0-9_-]{8,64})")


def seal_upload(platform: Platform[SealingSettings], name: str, generation: int, size: int) -> None:
    """Seal one generation of an object in `incoming/`. Anything else in the bucket is none of its business.

    An image that can't be taken in leaves a `rejected` record with the reason, and no bytes. What belongs to nobody, to
    somebody who is being erased, or to an image that is already there, is removed unread.
    """
    if not name.startswith(_INCOMING):
        return
    blob = platform.bucket.blob(name, generation=generation)
    upload = _UPLOAD.fullmatch(name)
    if upload is None or not _awaited(platform, *upload.groups()):
        log.write(log.Event.UPLOAD_DROPPED)
        _remove(blob, generation)
        return
    uid, image_id = upload.groups()
    try:
        _seal(platform, blob, uid, image_id, size)
        log.write(log.Event.UPLOAD_SEALED, bytes=size)
    except intake.Rejected as rejected:
        _record(platform, uid, image_id, {"status": "rejected", "reason": str(rejected)})
        log.write(log.Event.UPLOAD_REJECTED, bytes=size)
    except NotFound:
        return  # the same event a second time: its work is done
    except Erased:
        # Its owner asked to be erased while it was being sealed.
        platform.vault.destroy_object(uid, image_id)
        _remove(platform.bucket.blob(f"images/{uid}/{image_id}"))
        log.write(log.Event.UPLOAD_DROPPED)
    _remove(blob, generation)


def _seal(platform: Platform[SealingSettings], blob: Blob, uid: str, image_id: str, size: int) -> None:
    intake.check_size(size)
    image = intake.clean(blob.download_as_bytes(if_generation_match=blob.generation))
    key = platform.vault.new_object(uid, image_id)
    sealed = io.BytesIO()
    vault.seal(io.BytesIO(image.content), sealed, key)
    target = platform.bucket.blob(f"images/{uid}/{image_id}")
    # 0 means "only if it is not there"; what an earlier try left is replaced, and nothing newer.
    existing = platform.bucket.get_blob(target.name)
    target.upload_from_file(
        sealed,
        rewind=True,
        size=sealed.tell(),
        content_type="application/octet-stream",
        if_generation_match=existing.generation if existing else 0,
    )
    facts = {name: value for name, value in asdict(image).items() if name != "content"}
    _record(platform, uid, image_id, {"status": "ready", "bytes": len(image.content), **facts})


def _awaited(platform: Platform[SealingSettings], uid: str, image_id: str) -> bool:
    """Whether the owner is an active user and has no image of this id yet."""
    user, image = _references(platform, uid, image_id)
    found = {snapshot.reference.path: snapshot.to_dict() for snapshot in platform.db.get_all([user, image])}
    profile = found[user.path]
    return profile is not None and profile["state"] == "active" and found[image.path] is None


def _record(platform: Platform[SealingSettings], uid: str, image_id: str, fields: dict[str, Any]) -> None:
    db, now = platform.db, platform.clock()
    _, image = _references(platform, uid, image_id)

    def write(transaction: firestore.Transaction) -> None:
        tombstones.refuse_erased(transaction, db, platform.pseudonyms.of_uid(uid))
        transaction.set(image, {**fields, "source": "uploaded", "createdAt": now})

    transact(db, write)


def _references(
    platform: Platform[SealingSettings], uid: str, image_id: str
) -> tuple[firestore.DocumentReference, firestore.DocumentReference]:
    user = platform.db.collection("users").document(uid)
    return user, user.collection("images").document(image_id)


def _remove(blob: Blob, generation: int | None = None) -> None:
    try:
        blob.delete(if_generation_match=generation)
    except NotFound:
        return
