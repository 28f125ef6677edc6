"""Webhooks signed after Standard Webhooks, and repeated when refused."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import threading

#: How often one is sent at most; seconds before the second time, doubled before each further.
TRIES, PAUSE = 3, 0.25


def new_secret() -> str:
    """A signing secret of an account: what receivers verify with."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def signed(body: bytes, secret: str, message_id: str) -> dict[str, str]:
    """The headers under which `body` is sent now."""
    sent_at = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.digest(key, f"{message_id}.{sent_at}.".encode() + body, "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def deliver(url: str, body: bytes, secret: str, closing: threading.Event) -> None:
    """Send until it is taken with a 2xx, TRIES times at most, under one id; not once more when `closing` is set."""
    message_id = f"msg_{secrets.token_hex(12)}"
    for attempt in range(TRIES):
        try:
            # No proxy stands before loopback. Redirects are not followed, nor does Replicate follow them.
            if httpx.post(
                url, content=body, headers=signed(body, secret, message_id), timeout=30, trust_env=False
            ).is_success:
                return
        except httpx.HTTPError:
            pass  # nobody listens: as good as refused
        if closing.wait(PAUSE * 2**attempt):
            return
