"""Honeytokens: accounts of nobody, whose every access is a sign of an intruder.

A honey account lies in the real stores like anybody's: account, profile, sealed image, keys. Nothing marks it there.
Its id looks like any that Firebase makes, 28 letters and digits, but its second half is keyed from its first: who has
the project's pseudonym key can tell at once, without asking any store, and nobody else can at all. That an ordinary id
is taken for honey has a chance of 1 in 10^24.

Our own work never touches one, and so every touch means something: whatever goes through everybody leaves them out by
`is_honey`; a listing or a backup of everybody names nobody.
"""

import functools
import secrets
import string
from typing import Final

from astra.runtime.pseudonyms import Pseudonyms

_ALPHABET: Final = string.ascii_letters + string.digits
_HALF_CHARACTERS: Final = 14


def new_uid(pseudonyms: Pseudonyms) -> str:
    """An account id for a honey account."""
    seed = "".join(secrets.choice(_ALPHABET) for _ in range(_HALF_CHARACTERS))
    return seed + _second_half(pseudonyms, seed)


@functools.lru_cache(maxsize=65536)
def is_honey(pseudonyms: Pseudonyms, uid: str) -> bool:
    """Whether this is an account that nobody has."""
    return (
        len(uid) == 2 * _HALF_CHARACTERS and _second_half(pseudonyms, uid[:_HALF_CHARACTERS]) == uid[_HALF_CHARACTERS:]
    )


def _second_half(pseudonyms: Pseudonyms, seed: str) -> str:
    number, half = int(pseudonyms.of_honey(seed), 16), ""
    for _ in range(_HALF_CHARACTERS):
        number, place = divmod(number, len(_ALPHABET))
        half += _ALPHABET[place]
    return half
