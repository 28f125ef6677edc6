"""The data map: one entry for every place that holds personal data.

Erasure, its verification and its certificate are derived from this table and from nothing else. A place that is not
here does not exist: a test walks all that the suite wrote and fails on what no entry claims. New ones begin here.
"""

import hashlib
from typing import Final

import rfc8785

from astra.datamap import accounts, breach, content, governance
from astra.datamap.model import Entry, check

DATA_MAP: Final[tuple[Entry, ...]] = (
    *content.FILES,
    *accounts.SIGN_UP,
    *content.DOCUMENTS,
    *accounts.REQUESTS,
    *governance.TOLD,
    *accounts.PROFILE,
    *governance.GOVERNANCE,
    *content.KEYS,
    *accounts.ACCOUNT,
    *governance.RECORDS,
)
"""In an order that certificates keep: its digest is in every one."""

NOT_PERSONAL: Final = {
    "policies/{item}": "the published policy: the same for everybody",
    "securityPolicies/{item}": "the security policy: the same for all who work here",
    "transfers/{item}": "business transfers: to which company, and when",
    "processors/{item}": "companies, and the agreements with them",
    "reviews/{item}": "the security policy's reviews; who signed one did so as an officer, under a keyed pseudonym",
    "findings/{item}": "what staff must see to: of agreements and processors",
    **breach.NOBODYS,
    "rounds/{item}": "how far a round through all stores is, and what it found, under keyed pseudonyms",
    "log/{item}": "tiles and checkpoint of the transparency log: hashes, times, and staff under keyed pseudonyms",
    "rate:{item}": "how many requests somebody made in this minute: whose they are nobody can tell",
}
"""Documents and keys that hold nothing about anybody, each with the reason."""

check(DATA_MAP, NOT_PERSONAL)


def digest() -> str:
    """SHA-256 of the whole map in canonical JSON (RFC 8785): which map a certificate speaks of."""
    return hashlib.sha256(rfc8785.dumps([entry.facts() for entry in DATA_MAP])).hexdigest()
