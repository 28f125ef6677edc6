"""Sealed objects: a header, then Cobblestone-256 content (C2SP chunked-encryption).

    offset  size
    0       4     magic "ASTR"
    4       1     format version, 1
    5       1     suite, 1 = Cobblestone-256
    6       4     version of the user's key when this was sealed, big-endian
    10      6     zero
    16      56    Cobblestone's salt and key commitment
    72      …     chunks of 16 KiB, each with a tag of 16 bytes; the last is always short

The whole header is part of the encryption's context, as are the owner, the object and the variant: an object that
was moved, renamed, swapped or touched anywhere does not open.
Source: https://c2sp.org/chunked-encryption ; `cryptography.cobblestone` implements it.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

_HEADER: Final = struct.Struct(">4sBBI6x")
_MAGIC: Final = b"ASTR"
_FORMAT: Final = 1
_SUITE: Final = 1
_PREFIX: Final = 56
_CHUNK: Final = 16 * 1024
_TAG: Final = 16
_BUFFER: Final = 256 * 1024

HEADER_SIZE: Final = _HEADER.size


class Unopenable(ValueError):
    """Not a sealed object, not this one, or damaged. Deliberately says no more."""


@dataclass(frozen=True)
class Header:
    """What a sealed object says of itself in the clear."""

    key_version: int

    def pack(self) -> bytes:
        """The first 16 bytes of the object."""
        return _HEADER.pack(_MAGIC, _FORMAT, _SUITE, self.key_version)

    @classmethod
    def parse(cls, raw: bytes) -> "Header":
        """The inverse of `pack`; raises Unopenable on anything else."""
        try:
            magic, form, suite, key_version = _HEADER.unpack(raw)
        except struct.error:
            raise Unopenable from None
        header = cls(key_version)
        if (magic, form, suite) != (_MAGIC, _FORMAT, _SUITE) or header.pack() != raw:
            raise Unopenable
        return header


def context(*parts: bytes) -> bytes:
    """Parts, each behind its length, so that no two lists of parts make the same bytes."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def sealed_size(size: int) -> int:
    """Bytes of the sealed object for `size` bytes of content."""
    return HEADER_SIZE + _PREFIX + size + _TAG * (size // _CHUNK + 1)


def content_size(size: int) -> int:
    """Bytes of content in a sealed object of `size` bytes; raises Unopenable if there is no such object."""
    body = size - HEADER_SIZE - _PREFIX
    content = body - _TAG * (body // (_CHUNK + _TAG) + 1)
    if content < 0 or sealed_size(content) != size:
        raise Unopenable
    return content


def seal(source: BinaryIO, sink: BinaryIO, dek: bytes, header: Header, bound_to: bytes) -> None:
    """Write `source`, sealed under the data key `dek` and bound to `bound_to`, to `sink`. Constant memory."""
    raw = header.pack()
    encryptor = Cobblestone256Encryptor(dek, context(raw, bound_to))
    sink.write(raw)
    plain, sealed = bytearray(_BUFFER), bytearray(_BUFFER + _PREFIX + _TAG * (_BUFFER // _CHUNK + 1))
    while count := source.readinto(plain):  # type: ignore[attr-defined]
        written = encryptor.update_into(memoryview(plain)[:count], sealed)
        sink.write(memoryview(sealed)[:written])
    sink.write(encryptor.finalize())


def unseal(pieces: Iterable[bytes], dek: bytes, header: Header, bound_to: bytes) -> Iterator[bytes]:
    """Yield the content of `pieces`, the object from just behind its header, cut anywhere.

    Each piece is authentic when it comes; only the end of the iteration says that none is missing, and Unopenable
    instead of an end says that the rest was cut off or tampered with.
    """
    decryptor = Cobblestone256Decryptor(dek, context(header.pack(), bound_to))
    try:
        for sealed in pieces:
            if piece := decryptor.update(sealed):
                yield piece
        if piece := decryptor.finalize():
            yield piece
    except InvalidTag:
        raise Unopenable from None
