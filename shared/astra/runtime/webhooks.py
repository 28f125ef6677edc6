"""Webhook signatures after the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

What is signed is `id.timestamp.body`, by HMAC-SHA256 under a secret `whsec_` and base64. An old one is refused, so one
that somebody has kept is of no use later; within the five minutes in which it counts, a handler must stand repetition.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

_TOLERANCE: Final = timedelta(minutes=5)
_PREFIX: Final = "whsec_"


class Unverified(Exception):
    """It is not from who has the secret, or not from now."""


def key_of(secret: str) -> bytes:
    """The key in `whsec_…`. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or not 24 <= len(key) <= 64:  # noqa: PLR2004  (the specification's own bounds)
        raise ValueError("must be whsec_ and 24 to 64 random bytes in base64")
    return key


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The id of a webhook that is genuine and new; `headers` by names in small letters. Raises Unverified."""
    message, at, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message and at.isascii() and at.isdigit() and len(at) <= 10):  # noqa: PLR2004
        raise Unverified
    if abs(datetime.fromtimestamp(int(at), UTC) - now) > _TOLERANCE:
        raise Unverified
    digest = hmac.digest(key_of(secret), f"{message}.{at}.".encode() + body, "sha256")
    ours = f"v1,{base64.b64encode(digest).decode()}".encode()
    # Several, while a secret is being replaced.
    if not any(hmac.compare_digest(ours, theirs.encode()) for theirs in signatures.split(" ")):
        raise Unverified
    return message
