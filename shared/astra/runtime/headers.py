"""HTTP headers of every answer to a browser."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HARDENED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
    }
)
