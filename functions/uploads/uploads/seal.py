"""Sealing an upload: from plaintext in Storage to an encrypted image.

The order makes every crash harmless: keys, sealed objects, record, and only then the plaintext goes. Whatever died in
between, the same event again finishes the work, and `recover` is that event for what lost it. The first record decides,
and nothing changes it: whoever meets another's decision removes what it made itself, unless the record says `ready`.
Every write and delete names the generation it is meant for: it can't hit another.
"""

import io
import random
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from google.api_core.exceptions import AlreadyExists, NotFound, PreconditionFailed
from google.cloud import firestore
from google.cloud.storage import Blob

from astra import vault
from astra.accounts import tombstones
from astra.accounts.state import ProfileState
from astra.accounts.tombstones import Erased
from astra.erasure import legal_holds
from astra.runtime import log
from astra.runtime.account_id import is_account_id
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform
from astra.vault import ObjectKey, vault_of
from astra.vault.settings import SealingSettings

from uploads import sanitize

INCOMING: Final = "incoming/"
FOLDERS: Final = {"full": "images", "thumb": "thumbs"}
"""Where each variant of a sealed image lies, above `{uid}/{imageId}`."""
_UPLOAD: Final = re.compile(r"incoming/([^/]+)/((?!__.*__$)[A-Za-z0-9_-]{8,64})")
_MAX_RECOVERED_UPLOADS: Final = 200
_REJECT_AFTER: Final = timedelta(hours=1)
_NO_TRY_AFTER: Final = timedelta(days=1)


class _Unwanted(Exception):
    """Nobody waits for this upload, or somebody else has decided about it."""


def seal_upload(platform: Platform[SealingSettings], name: str, generation: int, size: int) -> None:
    """Seal one generation of an object in `incoming/`. Anything else in the bucket is none of its business.

    An image that can't be taken in leaves a `rejected` record with the reason, and no bytes. What belongs to nobody, to
    somebody who is being erased, or to an image that is already there, is removed and never decoded.
    """
    if not name.startswith(INCOMING):
        return
    upload = _upload(name)
    blob = platform.bucket.blob(name, generation=generation)
    if upload is None:
        log.write(log.Event.UPLOAD_DROPPED)
        _remove(blob)
        return
    uid, image_id = upload
    try:
        _seal(platform, blob, uid, image_id, size)
        log.write(log.Event.UPLOAD_SEALED, bytes=size)
    except sanitize.Rejected as rejected:
        _reject(platform, uid, image_id, str(rejected), size)
        _tidy(platform, uid, image_id)
    except (_Unwanted, Erased):
        log.write(log.Event.UPLOAD_DROPPED)
        _tidy(platform, uid, image_id)
    _remove(blob)


def recover(platform: Platform[SealingSettings], budget: timedelta) -> int:
    """Take up what was uploaded and never sealed, for up to `budget`: its event was lost, or its worker died.

    Answers how many. What still fails after an hour is rejected, and what is a day old is not even tried, so that no
    plaintext stays for good.
    """
    now = platform.clock()
    waiting = platform.bucket.list_blobs(prefix=INCOMING)
    unsealed = (blob for blob in waiting if now - blob.time_created >= platform.settings.unsealed_after)
    stale = list(islice(unsealed, _MAX_RECOVERED_UPLOADS))
    count = 0
    # In any order: an upload that kills its worker must not always stand before the same others.
    for blob in random.sample(stale, len(stale)):
        if platform.clock() - now >= budget:
            break
        try:
            _take_up(platform, blob)
        except Exception as error:  # noqa: BLE001  (one poisoned upload delays nobody)
            log.failure(log.Event.FAILED, error)
        count += 1
    if count:
        log.write(log.Event.UPLOADS_RECOVERED, count=count)
    return count


def _take_up(platform: Platform[SealingSettings], blob: Blob) -> None:
    age = platform.clock() - blob.time_created
    # What kills its worker never gets as far as a failure.
    if age < _NO_TRY_AFTER:
        try:
            seal_upload(platform, blob.name, blob.generation, blob.size)
        except Exception as error:
            if age < _REJECT_AFTER:
                raise
            log.failure(log.Event.FAILED, error)
        else:
            return
    _give_up(platform, blob)


def _seal(platform: Platform[SealingSettings], blob: Blob, uid: str, image_id: str, size: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        # Work goes side by side where nothing is lost by it: the bytes arrive while we learn whether anybody waits for
        # them, keys are made while the image is decoded, the thumbnail is stored while the image is encoded.
        awaited = pool.submit(_awaited, platform, uid, image_id)
        raw = _download(blob) if size <= sanitize.MAX_BYTES else b""
        if not awaited.result():
            raise _Unwanted
        sanitize.check_size(size)
        making = pool.submit(vault_of(platform).new_object, uid, image_id)
        image = sanitize.clean(raw)
        keys = making.result()
        thumb = pool.submit(lambda: _put(platform, _name("thumb", uid, image_id), image.thumbnail, keys["thumb"]))
        content = image.content
        full = pool.submit(_put, platform, _name("full", uid, image_id), content, keys["full"])

        thumb.result()
        full.result()
        facts = {
            "status": "ready",
            "contentType": image.contentType,
            "width": image.width,
            "height": image.height,
            "bytes": len(content),
            "thumbBytes": len(image.thumbnail),
        }
        _record(platform, uid, image_id, facts)


def _upload(name: str) -> tuple[str, str] | None:
    """Return the account id and the image's id in an upload's name; None if it is no name that the rules allow."""
    upload = _UPLOAD.fullmatch(name)
    return (upload[1], upload[2]) if upload and is_account_id(upload[1]) else None


def _download(blob: Blob) -> bytes:
    try:
        raw: bytes = blob.download_as_bytes(if_generation_match=blob.generation)
    except NotFound:
        raise _Unwanted from None  # the same event a second time: its work is done
    return raw


def _name(variant: str, uid: str, image_id: str) -> str:
    return f"{FOLDERS[variant]}/{uid}/{image_id}"


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
    """Whether the owner has an account, which may be frozen and given back, and no image of this id yet."""
    profile, image = (found.to_dict() for found in fetch(platform.db, *_references(platform, uid, image_id)))
    return profile is not None and profile["state"] in (ProfileState.ACTIVE, ProfileState.FROZEN) and image is None


def _record(platform: Platform[SealingSettings], uid: str, image_id: str, facts: dict[str, Any]) -> None:
    """Write the image's record; raises _Unwanted if it has one already, Erased if its owner has a tombstone."""
    _, image = _references(platform, uid, image_id)
    batch = platform.db.batch()
    batch.create(image, {**facts, "source": "uploaded", "createdAt": platform.clock()})
    try:
        tombstones.commit_unless_erased(batch, platform.db, platform.pseudonyms.of_uid(uid))
    except AlreadyExists:
        raise _Unwanted from None


def _reject(platform: Platform[SealingSettings], uid: str, image_id: str, reason: str, size: int) -> None:
    try:
        _record(platform, uid, image_id, {"status": "rejected", "reason": reason})
        log.write(log.Event.UPLOAD_REJECTED, bytes=size)
    except (_Unwanted, Erased):
        log.write(log.Event.UPLOAD_DROPPED)


def _give_up(platform: Platform[SealingSettings], blob: Blob) -> None:
    if upload := _upload(blob.name):
        uid, image_id = upload
        if _awaited(platform, uid, image_id):
            _reject(platform, uid, image_id, "The image could not be processed. Try another file.", blob.size)
        _tidy(platform, uid, image_id)
    _remove(blob)


def _tidy(platform: Platform[SealingSettings], uid: str, image_id: str) -> None:
    """Remove whatever a sealing has made, unless it is of an image that is ready."""
    _, image = _references(platform, uid, image_id)
    record = image.get().to_dict()
    if record and record["status"] == "ready":
        return
    subject = platform.pseudonyms.of_uid(uid)
    if legal_holds.held(legal_holds.reference(platform.db, subject).get(), platform.clock()):
        return  # the record may have been erased, and the image kept: it is the erasure's to remove
    vault_of(platform).destroy_object(uid, image_id)
    for variant in FOLDERS:
        if sealed := platform.bucket.get_blob(_name(variant, uid, image_id)):
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
