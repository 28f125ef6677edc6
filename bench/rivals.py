"""Streaming encryption of other libraries, used as they document it."""

import io
import os
from collections.abc import Callable
from functools import partial

import nacl.bindings as sodium
import pyrage
import tink
from tink import streaming_aead

from astra.vault import cobblestone
from astra.vault.cobblestone import Header

_READ = 64 * 1024
Seal = Callable[[io.FileIO, io.FileIO], None]

streaming_aead.register()
_TEMPLATES = streaming_aead.streaming_aead_key_templates
_TINK = {
    "1 MB": tink.new_keyset_handle(_TEMPLATES.AES256_GCM_HKDF_1MB).primitive(streaming_aead.StreamingAead),
    "4 KB": tink.new_keyset_handle(_TEMPLATES.AES256_GCM_HKDF_4KB).primitive(streaming_aead.StreamingAead),
}
_AGE = pyrage.x25519.Identity.generate().to_public()
_SODIUM = os.urandom(32)


def ours(incoming: io.FileIO, outgoing: io.FileIO) -> None:
    """Cobblestone-256, as the vault uses it."""
    cobblestone.seal(incoming, outgoing, bytes(32), Header(1), b"bench")


def with_tink(segments: str, incoming: io.FileIO, outgoing: io.FileIO) -> None:
    """Tink's StreamingAead, AES-256-GCM-HKDF, read 64 KiB at a time."""
    # Tink closes what it writes to.
    with (
        os.fdopen(os.dup(outgoing.fileno()), "wb", buffering=0) as sink,
        _TINK[segments].new_encrypting_stream(sink, b"bench") as out,
    ):
        while piece := incoming.read(_READ):
            out.write(piece)


def with_age(incoming: io.FileIO, outgoing: io.FileIO) -> None:
    """age in Rust, through pyrage."""
    pyrage.encrypt_io(incoming, outgoing, [_AGE])


def with_sodium(incoming: io.FileIO, outgoing: io.FileIO) -> None:
    """libsodium's secretstream, XChaCha20-Poly1305, through PyNaCl."""
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    outgoing.write(sodium.crypto_secretstream_xchacha20poly1305_init_push(state, _SODIUM))
    while piece := incoming.read(_READ):
        outgoing.write(sodium.crypto_secretstream_xchacha20poly1305_push(state, piece))


RIVALS: dict[str, Seal] = {
    "tink": partial(with_tink, "1 MB"),
    "tink-4KB": partial(with_tink, "4 KB"),
    "age": with_age,
    "secretstream": with_sodium,
}
