"""From an upload in the clear to a sealed image.

The order makes every crash harmless: keys, sealed objects, record, and only then the plaintext goes. Whatever died in
between, the same event again finishes the work, and `recover` is that event for what lost it. The record says when
there is nothing left to do. Every write and delete names the generation it is meant for: it can't hit another.
"""

import io
import random
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import firestore
from google.cloud.storage import Blob

import intake
from astra import log, tombstones, vault
from astra.platform import Platform
from astra.settings import SealingSettings
from astra.tombstones import Erased
from astra.transactions import transact
from astra.vault import ObjectKey

INCOMING: Final = "incoming/"
FOLDERS: Final = {"full": "images", "thumb": "thumbs"}
"""Where each variant of a sealed image lies, above `{uid}/{imageId}`."""
_UPLOAD: Final = re.compile(r"incoming/([A-Za-z0-9_-]{1,128})/([A-Za-z0-9_-]{8,64})")
_MOST_RECOVERED: Final = 200
_GIVE_UP: Final = timedelta(hours=1)


def seal_upload(platform: Platform[SealingSettings], name: str, generation: int, size: int) -> None:
    """Seal one generation of an object in `incoming/`. Anything else in the bucket is none of its business.

    An image that can't be taken in leaves a `rejected` record with the reason, and no bytes. What belongs to nobody, to
    somebody who is being erased, or to an image that is already there, is removed unread.
    """
    if not name.startswith(INCOMING):
        return
    upload = _UPLOAD.fullmatch(name)
    blob = platform.bucket.blob(name, generation=generation)
    if upload is None or not _awaited(platform, *upload.groups()):
        log.write(log.Event.UPLOAD_DROPPED)
        _remove(blob)
        return
    uid, image_id = upload.groups()
    try:
        _seal(platform, blob, uid, image_id, size)
        log.write(log.Event.UPLOAD_SEALED, bytes=size)
    except intake.Rejected as rejected:
        _reject(platform, uid, image_id, str(rejected))
        log.write(log.Event.UPLOAD_REJECTED, bytes=size)
    except NotFound:
        return  # the same event a second time: its work is done
    except Erased:
        # Its owner asked to be erased while it was being sealed.
        _unmake(platform, uid, image_id)
        log.write(log.Event.UPLOAD_DROPPED)
    _remove(blob)


def recover(platform: Platform[SealingSettings]) -> int:
    """Take up what was uploaded and never sealed: its event was lost, or its worker died. Answers how many.

    What can't be sealed within an hour is rejected, so that no plaintext stays for good.
    """
    waiting = list(platform.bucket.list_blobs(prefix=INCOMING, max_results=_MOST_RECOVERED))
    now = platform.clock()
    stale = [blob for blob in waiting if now - blob.time_created >= platform.settings.unsealed_after]
    # In any order: an upload that kills its worker each time must not always stand before the same others.
    for blob in random.sample(stale, len(stale)):
        try:
            if now - blob.time_created >= _GIVE_UP:
                _give_up(platform, blob)
            else:
                seal_upload(platform, blob.name, blob.generation, blob.size)
        except Exception as error:  # noqa: BLE001  (one poisoned upload delays nobody)
            log.failure(log.Event.FAILED, error)
    if stale:
        log.write(log.Event.UPLOADS_RECOVERED, count=len(stale))
    return len(stale)


def _seal(platform: Platform[SealingSettings], blob: Blob, uid: str, image_id: str, size: int) -> None:
    intake.check_size(size)
    image = intake.clean(blob.download_as_bytes(if_generation_match=blob.generation))
    keys = platform.vault.new_object(uid, image_id)
    contents = {"thumb": image.thumbnail, "full": image.content}
    with ThreadPoolExecutor(len(contents)) as pool:
        puts = [
            pool.submit(_put, platform, f"{FOLDERS[variant]}/{uid}/{image_id}", content, keys[variant])
            for variant, content in contents.items()
        ]
    for put in puts:
        put.result()
    facts = {
        "status": "ready",
        "contentType": image.contentType,
        "width": image.width,
        "height": image.height,
        "bytes": len(image.content),
        "thumbBytes": len(image.thumbnail),
    }
    _record(platform, uid, image_id, facts)


def _put(platform: Platform[SealingSettings], name: str, content: bytes, key: ObjectKey) -> None:
    sealed = io.BytesIO()
    vault.seal(io.BytesIO(content), sealed, key)
    generation = 0  # only if it is not there
    for last in (False, False, True):
        try:
            platform.bucket.blob(name).upload_from_file(
                sealed,
                rewind=True,
                size=sealed.tell(),
                content_type="application/octet-stream",
                if_generation_match=generation,
            )
        except PreconditionFailed:
            # What an earlier try left is replaced, and nothing newer: another worker's may be at it right now.
            existing = platform.bucket.get_blob(name)
            if existing is None or last:
                raise
            generation = existing.generation
        else:
            return


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


def _reject(platform: Platform[SealingSettings], uid: str, image_id: str, reason: str) -> None:
    try:
        _record(platform, uid, image_id, {"status": "rejected", "reason": reason})
    except Erased:
        return  # nobody is left to be told


def _give_up(platform: Platform[SealingSettings], blob: Blob) -> None:
    upload = _UPLOAD.fullmatch(blob.name)
    if upload and _awaited(platform, *upload.groups()):
        uid, image_id = upload.groups()
        _reject(platform, uid, image_id, "The image could not be processed. Try another file.")
        _unmake(platform, uid, image_id)
        log.write(log.Event.UPLOAD_REJECTED, bytes=blob.size)
    _remove(blob)


def _unmake(platform: Platform[SealingSettings], uid: str, image_id: str) -> None:
    """Remove whatever an unfinished sealing has made."""
    platform.vault.destroy_object(uid, image_id)
    for folder in FOLDERS.values():
        if sealed := platform.bucket.get_blob(f"{folder}/{uid}/{image_id}"):
            _remove(sealed)


def _references(
    platform: Platform[SealingSettings], uid: str, image_id: str
) -> tuple[firestore.DocumentReference, firestore.DocumentReference]:
    user = platform.db.collection("users").document(uid)
    return user, user.collection("images").document(image_id)


def _remove(blob: Blob) -> None:
    try:
        blob.delete(if_generation_match=blob.generation)
    except NotFound:
        return
