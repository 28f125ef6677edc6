"""Cobblestone-256: sealed objects after C2SP chunked-encryption.

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
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from astra.vault.keywrap import KEY_SIZE

_HEADER: Final = struct.Struct(">4sBBI6x")
_MAGIC: Final = b"ASTR"
_FORMAT: Final = 1
_SUITE: Final = 1
_PREFIX_BYTES: Final = 56
_CHUNK_BYTES: Final = 16 * 1024
_TAG_BYTES: Final = 16
_CHUNKS_A_READ: Final = 16
"""Chunks that random access fetches at once."""
_BUFFER_BYTES: Final = 28 * _CHUNK_BYTES
"""Larger pieces cost less to read and to write; two buffers of this size stay below a mebibyte."""
_SALT_BYTES: Final = 24
_LABEL: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"

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


Binding = Callable[[Header], bytes]
"""What a sealed object with that header is bound to."""


def context(*parts: bytes) -> bytes:
    """Parts, each behind its length, so that no two lists of parts make the same bytes."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def sealed_size(size: int) -> int:
    """Bytes of the sealed object for `size` bytes of content."""
    return HEADER_SIZE + _PREFIX_BYTES + size + _TAG_BYTES * (size // _CHUNK_BYTES + 1)


def _check_size(dek: bytes) -> None:
    """Raise Unopenable for a key of another size, of which HKDF would make one all the same."""
    if len(dek) != KEY_SIZE:
        raise Unopenable


class _Buffers(threading.local):
    """One pair for a thread, kept: the system hands out memory of that size page by page, which takes time."""

    def __init__(self) -> None:
        self.plain = bytearray(_BUFFER_BYTES)
        self.sealed = bytearray(_BUFFER_BYTES + _PREFIX_BYTES + _TAG_BYTES * (_BUFFER_BYTES // _CHUNK_BYTES + 1))


_buffers: Final = _Buffers()


def seal(source: BinaryIO, sink: BinaryIO, dek: bytes, header: Header, bound_to: bytes) -> None:
    """Write `source`, sealed under the data key `dek` and bound to `bound_to`, to `sink`. Constant memory."""
    raw = header.pack()
    encryptor = Cobblestone256Encryptor(dek, context(raw, bound_to))
    sink.write(raw)
    plain, sealed = memoryview(_buffers.plain), memoryview(_buffers.sealed)
    while count := source.readinto(plain):  # type: ignore[attr-defined]
        written = encryptor.update_into(plain[:count], sealed)
        sink.write(sealed[:written])
    sink.write(encryptor.finalize())


def unseal(pieces: Iterable[bytes], dek: bytes, bound_to: Binding) -> Iterator[bytes]:
    """Yield the content of the sealed object that is in `pieces`, cut anywhere.

    Each piece is authentic when it comes; only the end of the iteration says that none is missing, and Unopenable
    instead of an end says that the rest was cut off or tampered with.
    """
    rest = iter(pieces)
    head = b""
    while len(head) < HEADER_SIZE and (piece := next(rest, b"")):
        head += piece
    header = Header.parse(head[:HEADER_SIZE])
    _check_size(dek)
    decryptor = Cobblestone256Decryptor(dek, context(header.pack(), bound_to(header)))
    try:
        for sealed in chain([head[HEADER_SIZE:]], rest):
            if piece := decryptor.update(sealed):
                yield piece
        if piece := decryptor.finalize():
            yield piece
    except InvalidTag:
        raise Unopenable from None


def unseal_range(
    fetch: Callable[[int, int], bytes], size: int, dek: bytes, bound_to: Binding, start: int, stop: int
) -> Iterator[bytes]:
    """Yield bytes `start` to before `stop` of an object with `size` bytes of content, decrypting only their chunks.

    `fetch(first, end)` answers those bytes of the sealed object. The library has no random access yet: this follows
    the specification's section on it. The last chunk is opened first, for only it proves the length.
    """
    head = fetch(0, HEADER_SIZE + _PREFIX_BYTES)
    header, prefix = Header.parse(head[:HEADER_SIZE]), head[HEADER_SIZE:]
    salt, commitment = prefix[:_SALT_BYTES], prefix[_SALT_BYTES:]
    _check_size(dek)
    info = _LABEL + salt + context(header.pack(), bound_to(header))
    derived = HKDFExpand(SHA512(), length=76, info=info).derive(dek)
    key, base, expected = AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big"), derived[44:]
    if not bytes_eq(commitment, expected):
        raise Unopenable
    last = size // _CHUNK_BYTES

    def chunk(number: int, sealed: bytes | memoryview) -> bytes:
        try:
            return key.decrypt((base ^ number).to_bytes(12, "big"), sealed, None)
        except (InvalidTag, ValueError):
            raise Unopenable from None

    def offset(number: int) -> int:
        return HEADER_SIZE + _PREFIX_BYTES + number * (_CHUNK_BYTES + _TAG_BYTES)

    if len(chunk(last, fetch(offset(last), sealed_size(size)))) != size % _CHUNK_BYTES:
        raise Unopenable
    for number in range(start // _CHUNK_BYTES, (stop - 1) // _CHUNK_BYTES + 1, _CHUNKS_A_READ):
        end = min(number + _CHUNKS_A_READ, (stop - 1) // _CHUNK_BYTES + 1)
        sealed = memoryview(fetch(offset(number), min(offset(end), sealed_size(size))))
        for index in range(number, end):
            at = (index - number) * (_CHUNK_BYTES + _TAG_BYTES)
            content = chunk(index, sealed[at : at + _CHUNK_BYTES + _TAG_BYTES])
            yield content[max(start - index * _CHUNK_BYTES, 0) : stop - index * _CHUNK_BYTES]
