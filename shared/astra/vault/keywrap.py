"""Key wrap: AES-256-GCM with a random nonce, bound to a context."""

import os
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE: Final = 32
"""Bytes of every key here: AES takes shorter ones too, and HKDF takes anything."""


def wrap(kek: bytes, key: bytes, context: bytes) -> bytes:
    """`key` under `kek`: nonce, ciphertext, tag. A KEK wraps far fewer keys than random nonces allow (2^32).

    Raise ValueError for a key of another size.
    """
    nonce = os.urandom(12)
    return nonce + AESGCM(_checked(kek)).encrypt(nonce, _checked(key), context)


def unwrap(kek: bytes, wrapped: bytes, context: bytes) -> bytes:
    """The inverse of `wrap`; raises InvalidTag or ValueError."""
    return _checked(AESGCM(_checked(kek)).decrypt(wrapped[:12], wrapped[12:], context))


def _checked(key: bytes) -> bytes:
    """Return `key` if it is `KEY_SIZE` bytes long; raise ValueError otherwise."""
    if len(key) != KEY_SIZE:
        raise ValueError(f"a key must be {KEY_SIZE} bytes long, not {len(key)}")
    return key
