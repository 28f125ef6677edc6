"""A key encrypted by another key: AES-256-GCM behind a random nonce, bound to a context."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def wrap(kek: bytes, key: bytes, context: bytes) -> bytes:
    """`key` under `kek`: nonce, ciphertext, tag. A KEK wraps far fewer keys than random nonces allow (2^32)."""
    nonce = os.urandom(12)
    return nonce + AESGCM(kek).encrypt(nonce, key, context)


def unwrap(kek: bytes, wrapped: bytes, context: bytes) -> bytes:
    """The inverse of `wrap`; raises InvalidTag or ValueError."""
    return AESGCM(kek).decrypt(wrapped[:12], wrapped[12:], context)
