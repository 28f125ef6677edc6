"""The way back: a sealed image, decrypted on its way to its owner."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import chain
from typing import Any, Final

from firebase_admin import auth
from flask import Request, Response, jsonify
from google.api_core.exceptions import NotFound
from google.cloud.storage import Blob

from astra import cobblestone, log
from astra.cobblestone import HEADER_SIZE, Header, Unopenable
from astra.limits import Limits, TooMany
from astra.platform import Platform
from astra.settings import SealingSettings

_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_MOST: Final = 600
_PIECE: Final = 4 * 1024 * 1024
_TIMEOUT: Final = 30
_WINDOW: Final = timedelta(minutes=1)
_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


class _Refused(Exception):
    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.response = jsonify(error={"status": status, "message": message})
        self.response.status_code = code


def open_image(platform: Platform[SealingSettings], limits: Limits, request: Request) -> Response:
    """GET `?id=` with a Bearer ID token: the image, if it is the caller's own; 404 for everybody else."""
    try:
        response = _answer(platform, limits, request)
    except _Refused as refused:
        response = refused.response
    except Exception as error:  # noqa: BLE001  (the boundary of the function: no message may get out)
        log.failure(log.Event.FAILED, error)
        response = _Refused(500, "INTERNAL", "Something failed on our side. Try again later.").response
    response.headers.update(_HEADERS)
    return response


def _answer(platform: Platform[SealingSettings], limits: Limits, request: Request) -> Response:
    if request.method not in ("GET", "HEAD"):
        raise _Refused(405, "INVALID_ARGUMENT", "Use GET.")
    uid = _caller(platform, request)
    image_id = request.args.get("id", "")
    if not _ID.fullmatch(image_id):
        raise _Refused(400, "INVALID_ARGUMENT", "id: 8 to 64 letters, digits, - or _.")
    user = platform.db.collection("users").document(uid)
    record = user.collection("images").document(image_id)
    found = {snapshot.reference.path: snapshot.to_dict() or {} for snapshot in platform.db.get_all([user, record])}
    image = found[record.path]
    if found[user.path].get("state") != "active" or image.get("status") != "ready":
        raise _Refused(404, "NOT_FOUND", "You have no image of this id.")
    try:
        limits.count(uid, "open_image", _MOST, _WINDOW)
    except TooMany as many:
        seconds = max(1, round(many.retry_after.total_seconds()))
        refused = _Refused(429, "RESOURCE_EXHAUSTED", f"Too many images at once: try again in {seconds} s.")
        refused.response.headers["Retry-After"] = str(seconds)
        raise refused from None
    content = _content(platform, uid, image_id, image["bytes"])
    log.write(log.Event.IMAGE_OPENED, bytes=image["bytes"])
    response = Response(content, mimetype=image["contentType"])
    response.content_length = image["bytes"]
    return response


def _caller(platform: Platform[SealingSettings], request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    claims: dict[str, Any] = {}
    with suppress(ValueError, auth.InvalidIdTokenError):
        claims = auth.verify_id_token(token, app=platform.app) if scheme == "Bearer" else {}
    # The emulators' tokens are unsigned and the SDK does not look at their dates.
    if claims.get("exp", 0) <= platform.clock().timestamp():
        refused = _Refused(401, "UNAUTHENTICATED", "Sign in: a valid ID token is needed as Bearer token.")
        refused.response.headers["WWW-Authenticate"] = "Bearer"
        raise refused
    return str(claims["uid"])


def _content(platform: Platform[SealingSettings], uid: str, image_id: str, size: int) -> Iterator[bytes]:
    sealed = _pieces(platform.bucket.blob(f"images/{uid}/{image_id}"), cobblestone.sealed_size(size))
    try:
        head = next(sealed)
        header = Header.parse(head[:HEADER_SIZE])
        key = platform.vault.find_object(uid, image_id, header)
        pieces = cobblestone.unseal(chain([head[HEADER_SIZE:]], sealed), key.dek, key.header, key.bound_to)
        # The first piece before the first byte of the answer: an object that does not open is a 404, not a torn image.
        first = next(pieces)
    except (NotFound, Unopenable):
        raise _Refused(404, "NOT_FOUND", "You have no image of this id.") from None
    return chain([first], pieces)


def _pieces(blob: Blob, size: int) -> Iterator[bytes]:
    """The object's `size` bytes, a few MiB at a time: memory does not grow with the image."""
    for start in range(0, size, _PIECE):
        end = min(start + _PIECE, size) - 1
        yield blob.download_as_bytes(start=start, end=end, checksum=None, timeout=_TIMEOUT)
