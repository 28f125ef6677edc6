"""Networks: where a request comes from, truncated to /24 or /48."""

import ipaddress
from typing import Final

from flask import Request

_IPV4_BITS: Final = 24
_IPV6_BITS: Final = 56


def masked(address: str) -> str | None:
    """The network of `address`, /24 or /56, in canonical form; None for what is no address.

    An IPv4 address is the same however it is written: `::ffff:192.0.2.7` is in `192.0.2.0/24`.
    """
    try:
        found = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        return None
    found = getattr(found, "ipv4_mapped", None) or found
    bits = _IPV4_BITS if found.version == 4 else _IPV6_BITS  # noqa: PLR2004
    return str(ipaddress.ip_network((found, bits), strict=False))


def of(request: Request) -> str | None:
    """The masked network that `request` comes from.

    One proxy is trusted, Google's front end, which appends the address that it was called from to X-Forwarded-For:
    whatever stands before the last comma is the client's own claim. In the emulators nothing stands in between.
    """
    # The header may be sent several times: WSGI joins them in their order.
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2]
    return masked(forwarded or request.remote_addr or "")
