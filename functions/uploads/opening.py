"""The way back: a sealed image, decrypted on its way to its owner."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from itertools import chain
from typing import Any, Final
from urllib.parse import quote

from firebase_admin import auth
from flask import Request, Response, jsonify
from google.api_core.exceptions import NotFound
from google.cloud.storage import Bucket

from astra import cobblestone, log
from astra.callables import UID
from astra.cobblestone import HEADER_SIZE, Header, Unopenable
from astra.limits import Limits, TooMany
from astra.platform import Platform
from astra.settings import SealingSettings
from sealing import FOLDERS

_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SIZES: Final = {"": "full", "full": "full", "thumb": "thumb"}
_MOST: Final = 600
_PIECE: Final = 256 * 1024
_TIMEOUT: Final = 30
_WINDOW: Final = timedelta(minutes=1)
_HEADERS: Final = {
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}


class _Refused(Exception):
    def __init__(self, code: int, status: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.response = jsonify(error={"status": status, "message": message})
        self.response.status_code = code
        self.response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})


@dataclass(frozen=True)
class _Image:
    """One variant of an image, as its record describes it. `size` is in bytes of content."""

    uid: str
    image_id: str
    variant: str
    size: int
    content_type: str
    etag: str


def open_image(platform: Platform[SealingSettings], limits: Limits, request: Request) -> Response:
    """GET `?id=` with a Bearer ID token: the image, if it is the caller's own; 404 for everybody else.

    `size=thumb` gives its small version. `Range` (one), `If-Range` and `If-None-Match` are answered after RFC 9110.
    """
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
        raise _Refused(405, "INVALID_ARGUMENT", "Use GET.", Allow="GET, HEAD")
    uid = _caller(platform, request)
    image = _find(platform, uid, request)
    try:
        limits.count(uid, "open_image", _MOST, _WINDOW)
    except TooMany as many:
        seconds = str(max(1, round(many.retry_after.total_seconds())))
        message = f"Too many images at once: try again in {seconds} s."
        raise _Refused(429, "RESOURCE_EXHAUSTED", message, Retry_After=seconds) from None
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{image.etag}"'}
    if request.if_none_match.contains(image.etag):
        return Response(status=304, headers=headers)
    start, stop = _span(request, image)
    partial = (start, stop) != (0, image.size)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{image.size}"
    content = iter(()) if request.method == "HEAD" else _content(platform, image, start, stop)
    log.write(log.Event.IMAGE_OPENED, bytes=stop - start)
    response = Response(content, status=206 if partial else 200, headers=headers, mimetype=image.content_type)
    response.content_length = stop - start
    return response


def _caller(platform: Platform[SealingSettings], request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    claims: dict[str, Any] = {}
    with suppress(ValueError, auth.InvalidIdTokenError):
        claims = auth.verify_id_token(token, app=platform.app) if scheme == "Bearer" else {}
    # The emulators' tokens are unsigned and the SDK looks neither at their dates nor at their types.
    expires, uid = claims.get("exp"), str(claims.get("uid"))
    if not isinstance(expires, int) or expires <= platform.clock().timestamp() or not UID.fullmatch(uid):
        message = "Sign in: a valid ID token is needed as Bearer token."
        raise _Refused(401, "UNAUTHENTICATED", message, WWW_Authenticate="Bearer")
    return uid


def _find(platform: Platform[SealingSettings], uid: str, request: Request) -> _Image:
    image_id, variant = request.args.get("id", ""), _SIZES.get(request.args.get("size", ""))
    if not _ID.fullmatch(image_id):
        raise _Refused(400, "INVALID_ARGUMENT", "id: 8 to 64 letters, digits, - or _.")
    if variant is None:
        raise _Refused(400, "INVALID_ARGUMENT", "size: full or thumb.")
    user = platform.db.collection("users").document(uid)
    record = user.collection("images").document(image_id)
    found = {snapshot.reference.path: snapshot.to_dict() or {} for snapshot in platform.db.get_all([user, record])}
    fields = found[record.path]
    if found[user.path].get("state") != "active" or fields.get("status") != "ready":
        raise _missing()
    full = variant == "full"
    return _Image(
        uid,
        image_id,
        variant,
        size=fields["bytes" if full else "thumbBytes"],
        content_type=fields["contentType"] if full else "image/webp",
        # An image never changes under its id; the time tells it from a later one of the same id.
        etag=f"{image_id}.{variant}.{int(fields['createdAt'].timestamp() * 1_000_000):x}",
    )


def _span(request: Request, image: _Image) -> tuple[int, int]:
    """The bytes asked for, as start and stop: one satisfiable range, or all of them."""
    asked, unless = request.range, request.if_range
    if request.method != "GET" or asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return 0, image.size
    if (unless.etag or unless.date) and unless.etag != image.etag:
        return 0, image.size
    first, end = asked.ranges[0]
    # A suffix longer than the image is the whole image.
    start = first if first >= 0 else max(image.size + first, 0)
    if start >= image.size:
        message = f"Range: the image has {image.size} bytes."
        raise _Refused(416, "OUT_OF_RANGE", message, Content_Range=f"bytes */{image.size}")
    return start, min(end or image.size, image.size)


def _content(platform: Platform[SealingSettings], image: _Image, start: int, stop: int) -> Iterator[bytes]:
    name = f"{FOLDERS[image.variant]}/{image.uid}/{image.image_id}"
    try:
        if (start, stop) == (0, image.size):
            sealed = _stream(platform.bucket, name)
            head = next(sealed, b"")
            header, rest = Header.parse(head[:HEADER_SIZE]), chain([head[HEADER_SIZE:]], sealed)
            key = platform.vault.find_object(image.uid, image.image_id, header, image.variant)
            pieces = cobblestone.unseal(rest, key.dek, header, key.bound_to)
        else:
            blob = platform.bucket.blob(name)

            def fetch(first: int, end: int) -> bytes:
                piece: bytes = blob.download_as_bytes(start=first, end=end - 1, checksum=None, timeout=_TIMEOUT)
                return piece

            header = Header.parse(fetch(0, HEADER_SIZE))
            key = platform.vault.find_object(image.uid, image.image_id, header, image.variant)
            pieces = cobblestone.unseal_range(fetch, image.size, key.dek, header, key.bound_to, start, stop)
        # The first piece before the first byte of the answer: what does not open is a 404, not a torn image.
        first = next(pieces)
    except (NotFound, Unopenable):
        raise _missing() from None
    return _guarded(chain([first], pieces))


def _guarded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The answer has begun: what fails now can only tear it, and the server would print what failed."""
    try:
        yield from pieces
    except Exception as error:  # noqa: BLE001
        log.failure(log.Event.FAILED, error)
        raise ConnectionAbortedError("the image could not be sent to its end") from None


def _stream(bucket: Bucket, name: str) -> Iterator[bytes]:
    """An object's bytes as they arrive, in one request and constant memory; raises Unopenable if there is none.

    The client library can only push into a file, or ask anew for each piece.
    """
    client = bucket.client
    url = f"{client.api_endpoint}/download/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}"
    with client._http.get(url, params={"alt": "media"}, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise Unopenable
        answer.raise_for_status()
        yield from answer.iter_content(_PIECE)


def _missing() -> _Refused:
    return _Refused(404, "NOT_FOUND", "You have no image of this id.")
