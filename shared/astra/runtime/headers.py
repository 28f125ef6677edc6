"""What every answer to a browser carries, be it an image or a page: TLS alone from now on, no guessing, no referrer."""

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
