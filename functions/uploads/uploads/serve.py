"""Serving an image: decrypted on its way to its owner."""

import re
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Any, Final
from urllib.parse import quote

from firebase_admin import app_check, auth
from flask import Request, Response, jsonify
from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable
from google.cloud.storage import Bucket
from jwt import PyJWTError

from astra.accounts.state import ProfileState
from astra.datamap.expiry import has_expired
from astra.runtime import log
from astra.runtime.callables import caller_of
from astra.runtime.documents import fetch
from astra.runtime.headers import HARDENED
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit, TooMany
from astra.runtime.settings import emulated
from astra.vault import ObjectKey, cobblestone, vault_of
from astra.vault.cobblestone import Unopenable
from astra.vault.settings import OpeningSettings

from uploads.seal import FOLDERS

# Names like `__this__` Firestore keeps for itself.
_ID: Final = re.compile(r"(?!__.*__$)[A-Za-z0-9_-]{8,64}")
_SIZES: Final = {"": "full", "full": "full", "thumb": "thumb"}
_MAX_USER_REQUESTS: Final = 600
_MAX_NETWORK_REQUESTS: Final = 6000
_CHUNK_BYTES: Final = 256 * 1024
_TIMEOUT_SECONDS: Final = 30
_LIMIT_WINDOW: Final = timedelta(minutes=1)
_HEADERS: Final = {
    **HARDENED,
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class _Refused(Exception):
    def __init__(self, code: int, status: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.response = jsonify(error={"status": status, "message": message})
        self.response.status_code = code
        self.response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})


@dataclass(frozen=True)
class _Image:
    """One variant of an image, as its record describes it. `size` is in bytes of content, `etag` has its quotes."""

    size: int
    content_type: str
    etag: str


def open_image(platform: Platform[OpeningSettings], request: Request) -> Response:
    """GET `?id=` with a Bearer ID token: the image, if it is the caller's own; 404 for everybody else.

    `size=thumb` gives its small version. `Range` (one), `If-Range` and `If-None-Match` are answered after RFC 9110.
    """
    with ExitStack() as begun:
        try:
            response = _answer(platform, request, begun)
            begun.pop_all()  # now the answer's own
        except _Refused as refused:
            response = refused.response
        except Exception as error:  # noqa: BLE001  (the boundary of the function: no message may get out)
            log.failure(log.Event.FAILED, error)
            response = _Refused(500, "INTERNAL", "Something failed on our side. Try again later.").response
    response.headers.update(_HEADERS)
    return response


def _answer(platform: Platform[OpeningSettings], request: Request, begun: ExitStack) -> Response:
    """The answer to an allowed request; raises _Refused. What was `begun` for it must be closed if it is not sent."""
    with _limited():  # whoever asks and for whatever
        platform.limits.admit_network(request, "open_image", Limit(_MAX_NETWORK_REQUESTS))
    _attest(platform, request)
    if request.method not in ("GET", "HEAD"):
        raise _Refused(405, "INVALID_ARGUMENT", "Use GET.", Allow="GET, HEAD")
    uid = _caller(platform, request)
    image_id, variant = _asked(request)
    name = f"{FOLDERS[variant]}/{uid}/{image_id}"
    begin: Callable[[], Iterator[bytes]] = partial(_begin, platform.bucket, name)
    find_key: Callable[[], ObjectKey] = partial(vault_of(platform).find_object, uid, image_id, variant)
    with ThreadPoolExecutor(2) as pool:
        if request.method == "GET" and not request.if_none_match and request.range is None:
            # The whole image, most likely: three stores are asked side by side, and the slowest says how long it takes.
            download = pool.submit(_begin, platform.bucket, name)
            begun.callback(_close, download)
            begin, find_key = download.result, pool.submit(find_key).result
        image = _find(platform, uid, image_id, variant)
    # Only now: of somebody who is being erased, not even a counter is made.
    with _limited():
        platform.limits.count(uid, "open_image", _MAX_USER_REQUESTS, _LIMIT_WINDOW)
    headers = {"Accept-Ranges": "bytes", "ETag": image.etag}
    if request.if_none_match.contains_weak(image.etag.strip('"')):
        return Response(status=304, headers=headers)
    start, stop = _span(request, image)
    whole = (start, stop) == (0, image.size)
    if not whole:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{image.size}"
    content: Iterator[bytes] = iter(())
    if request.method == "GET":
        span = partial(_fetch, platform.bucket, name)
        content = _content(
            find_key,
            lambda key: (
                cobblestone.unseal(begin(), key.dek, key.bound_to)
                if whole
                else cobblestone.unseal_range(span, image.size, key.dek, key.bound_to, start, stop)
            ),
        )
    log.write(log.Event.IMAGE_OPENED, bytes=stop - start, actor=platform.pseudonyms.of_uid(uid))
    response = Response(content, status=200 if whole else 206, headers=headers, mimetype=image.content_type)
    response.content_length = stop - start
    return response


@contextmanager
def _limited() -> Iterator[None]:
    try:
        yield
    except TooMany as many:
        raise _Refused(429, "RESOURCE_EXHAUSTED", str(many), Retry_After=str(many.seconds)) from None


def _attest(platform: Platform[OpeningSettings], request: Request) -> None:
    """Refuse what does not come from an app of ours. For callables the SDK does so, with the same exception."""
    try:
        if not emulated():
            app_check.verify_token(request.headers.get("X-Firebase-AppCheck", ""), app=platform.app)
    except (ValueError, PyJWTError):
        raise _Refused(401, "UNAUTHENTICATED", "A valid App Check token is needed as X-Firebase-AppCheck.") from None


def _caller(platform: Platform[OpeningSettings], request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    claims: dict[str, Any] = {}
    with suppress(ValueError, auth.InvalidIdTokenError):
        claims = auth.verify_id_token(token, app=platform.app) if scheme == "Bearer" else {}
    caller = caller_of(claims, token, platform.clock())
    if caller is None:
        message = "Sign in: a valid ID token is needed as Bearer token."
        raise _Refused(401, "UNAUTHENTICATED", message, WWW_Authenticate="Bearer")
    return caller.uid


def _asked(request: Request) -> tuple[str, str]:
    """The image's id and its variant."""
    image_id, variant = request.args.get("id", ""), _SIZES.get(request.args.get("size", ""))
    if not _ID.fullmatch(image_id):
        raise _Refused(400, "INVALID_ARGUMENT", "id: 8 to 64 letters, digits, - or _.")
    if variant is None:
        raise _Refused(400, "INVALID_ARGUMENT", "size: full or thumb.")
    return image_id, variant


def _find(platform: Platform[OpeningSettings], uid: str, image_id: str, variant: str) -> _Image:
    user = platform.db.collection("users").document(uid)
    record = user.collection("images").document(image_id)
    profile, fields = (found.to_dict() or {} for found in fetch(platform.db, user, record))
    if (
        profile.get("state") != ProfileState.ACTIVE
        or fields.get("status") != "ready"
        or has_expired(fields, platform.clock())
    ):
        raise _missing()
    full = variant == "full"
    return _Image(
        size=fields["bytes" if full else "thumbBytes"],
        content_type=fields["contentType"] if full else "image/webp",
        # An image never changes under its id; the time tells it from a later one of the same id.
        etag=f'"{image_id}.{variant}.{int(fields["createdAt"].timestamp() * 1_000_000):x}"',
    )


def _span(request: Request, image: _Image) -> tuple[int, int]:
    """The bytes asked for, as start and stop: one satisfiable range, or all of them."""
    asked = request.range
    if request.method != "GET" or asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return 0, image.size
    # As it was sent, for only a strong tag may join parts of two answers: W/"…" and dates mean the whole.
    if request.headers.get("If-Range", image.etag) != image.etag:
        return 0, image.size
    first, end = asked.ranges[0]
    # A suffix longer than the image is the whole image.
    start = first if first >= 0 else max(image.size + first, 0)
    if start >= image.size:
        message = f"Range: the image has {image.size} bytes."
        raise _Refused(416, "OUT_OF_RANGE", message, Content_Range=f"bytes */{image.size}")
    return start, min(end or image.size, image.size)


def _content(find_key: Callable[[], ObjectKey], unseal: Callable[[ObjectKey], Iterator[bytes]]) -> Iterator[bytes]:
    try:
        pieces = unseal(find_key())
        # The first piece before the first byte of the answer: what does not open is a 404, not a torn image.
        first = next(pieces)
    except (NotFound, RequestRangeNotSatisfiable, Unopenable):
        raise _missing() from None
    return _guarded(chain([first], pieces))


def _guarded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The answer has begun: what fails now can only tear it, and the server would print what failed."""
    try:
        yield from pieces
    except Exception as error:  # noqa: BLE001
        log.failure(log.Event.FAILED, error)
        raise ConnectionAbortedError("the image could not be sent to its end") from None


def _stream(bucket: Bucket, name: str) -> Generator[bytes, None, None]:
    """Nothing once the request is answered, then an object's bytes as they arrive, in constant memory.

    Raises Unopenable if there is none. The client library can only push into a file, or ask anew for each piece.
    """
    client = bucket.client
    url = f"{client.api_endpoint}/download/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}"
    with client._http.get(url, params={"alt": "media"}, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise Unopenable
        answer.raise_for_status()
        yield b""
        yield from answer.iter_content(_CHUNK_BYTES)


def _begin(bucket: Bucket, name: str) -> Generator[bytes, None, None]:
    """The bytes alone, with the request already answered."""
    stream = _stream(bucket, name)
    next(stream)
    return stream


def _close(download: "Future[Generator[bytes, None, None]]") -> None:
    """Give the connection back at once: what failed keeps its frames, and they it, until the garbage collector runs."""
    if download.exception() is None:
        download.result().close()


def _fetch(bucket: Bucket, name: str, first: int, end: int) -> bytes:
    piece: bytes = bucket.blob(name).download_as_bytes(
        start=first, end=end - 1, checksum=None, timeout=_TIMEOUT_SECONDS
    )
    return piece


def _missing() -> _Refused:
    return _Refused(404, "NOT_FOUND", "You have no image of this id.")
