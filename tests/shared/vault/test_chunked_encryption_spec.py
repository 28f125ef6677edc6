"""A second implementation of C2SP chunked-encryption, from the specification alone, against the one in use.

Source: https://c2sp.org/chunked-encryption. Nothing here calls `cryptography.cobblestone` or `astra.vault.cobblestone`,
but to compare.
"""

import hashlib
import hmac
import io
import json
import os
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.vault import cobblestone
from astra.vault.cobblestone import HEADER_SIZE, Header, Unopenable

KEY, BOUND_TO, HEADER = bytes(range(32)), b"ada|ring-0001|full|1", Header(7)
CHUNK = 16 * 1024
SIZES = [n * CHUNK + d for n in (0, 1, 2, 3, 16, 17, 32) for d in (-17, -16, -1, 0, 1, 16, 17) if n * CHUNK + d >= 0]


def derive(key: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    """HKDF-Expand with SHA-512, written out after RFC 5869."""
    info = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\x00" + salt + context
    first = hmac.new(key, info + b"\x01", hashlib.sha512).digest()
    second = hmac.new(key, first + info + b"\x02", hashlib.sha512).digest()
    block = first + second
    return block[:32], block[32:44], block[44:76]


def nonce(base: bytes, number: int) -> bytes:
    return bytes(a ^ b for a, b in zip(base, number.to_bytes(12, "big"), strict=True))


def encrypt(key: bytes, context: bytes, message: bytes) -> bytes:
    salt = os.urandom(24)
    secret, base, commitment = derive(key, salt, context)
    chunks = [message[at : at + CHUNK] for at in range(0, len(message) + 1, CHUNK)]
    sealed = [AESGCM(secret).encrypt(nonce(base, number), chunk, b"") for number, chunk in enumerate(chunks)]
    return salt + commitment + b"".join(sealed)


def decrypt(key: bytes, context: bytes, sealed: bytes) -> bytes:
    secret, base, commitment = derive(key, sealed[:24], context)
    assert hmac.compare_digest(commitment, sealed[24:56]), "commitment"
    body, message, number = sealed[56:], b"", 0
    while len(body) >= CHUNK + 16:
        message += AESGCM(secret).decrypt(nonce(base, number), body[: CHUNK + 16], b"")
        body, number = body[CHUNK + 16 :], number + 1
    assert len(body) >= 16, "truncated"
    return message + AESGCM(secret).decrypt(nonce(base, number), body, b"")


def full_context() -> bytes:
    """What the header and the owner make of the context: each behind its length."""
    raw = HEADER.pack()
    return len(raw).to_bytes(4, "big") + raw + len(BOUND_TO).to_bytes(4, "big") + BOUND_TO


def ours(message: bytes) -> bytes:
    sink = io.BytesIO()
    cobblestone.seal(io.BytesIO(message), sink, KEY, HEADER, BOUND_TO)
    return sink.getvalue()


def open_ours(sealed: bytes, key: bytes = KEY) -> bytes:
    return b"".join(cobblestone.unseal([sealed], key, lambda _header: BOUND_TO))


def open_range(sealed: bytes, start: int, stop: int, size: int, key: bytes = KEY) -> bytes:
    fetch = lambda first, end: sealed[first:end]  # noqa: E731
    return b"".join(cobblestone.unseal_range(fetch, size, key, lambda _header: BOUND_TO, start, stop))


WYCHEPROOF: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "c2sp_chunked_encryption_aes_256_gcm.json").read_text()
)["tests"]


@pytest.mark.parametrize("case", WYCHEPROOF, ids=lambda case: f"{case['tcId']} {case['comment']}")
def test_both_readers_agree_with_the_public_test_vectors(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by a third implementation, filippo.io/cobblestone; their contexts are not composed as ours are."""
    monkeypatch.setattr(cobblestone, "context", lambda *_: bytes.fromhex(case["ctx"]))
    key, sealed = bytes.fromhex(case["key"]), zlib.decompress(bytes.fromhex(case["ct"]))
    whole, rest = divmod(max(len(sealed) - 56, 0), CHUNK + 16)
    size = whole * CHUNK + max(rest - 16, 0)
    for read in (
        lambda: open_ours(HEADER.pack() + sealed, key),
        lambda: open_range(HEADER.pack() + sealed, 0, size, size, key),
    ):
        if case["result"] == "valid":
            message = read()
            assert (len(message), hashlib.sha512(message).hexdigest()) == (case["msgLength"], case["msgSha512"])
        else:
            with pytest.raises(Unopenable):
                read()


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33, 64])
def test_both_readers_refuse_a_key_of_another_size_even_if_it_sealed_the_message(size: int) -> None:
    key = bytes(range(size))
    sealed = HEADER.pack() + encrypt(key, full_context(), b"ring")
    with pytest.raises(Unopenable):
        open_ours(sealed, key)
    with pytest.raises(Unopenable):
        open_range(sealed, 0, 4, 4, key)


@pytest.mark.parametrize("chunks", [256, 257])
def test_both_readers_count_chunks_past_one_byte(chunks: int) -> None:
    message = random.Random(chunks).randbytes(chunks * CHUNK + 1)
    sealed = HEADER.pack() + encrypt(KEY, full_context(), message)
    assert open_ours(sealed) == open_range(sealed, 0, len(message), len(message)) == message


@pytest.mark.parametrize("size", SIZES)
def test_the_two_agree_both_ways_and_so_does_random_access(size: int) -> None:
    message = random.Random(size).randbytes(size)
    sealed = ours(message)
    assert decrypt(KEY, full_context(), sealed[HEADER_SIZE:]) == message
    theirs = HEADER.pack() + encrypt(KEY, full_context(), message)
    assert open_ours(theirs) == message
    if size:
        assert open_range(theirs, 0, size, size) == message


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_range_is_the_same_slice(data: st.DataObject) -> None:
    size = data.draw(st.one_of(st.sampled_from([n for n in SIZES if n]), st.integers(1, 4 * CHUNK)))
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    message = random.Random(size).randbytes(size)
    assert open_range(ours(message), start, stop, size) == message[start:stop]


def test_only_the_chunks_of_the_range_and_the_last_are_fetched() -> None:
    message = os.urandom(64 * CHUNK)
    sealed, fetched = ours(message), []

    def fetch(first: int, end: int) -> bytes:
        fetched.append((first, end))
        return sealed[first:end]

    start, stop = 20 * CHUNK + 5, 22 * CHUNK + 5
    pieces = cobblestone.unseal_range(fetch, len(message), KEY, lambda _header: BOUND_TO, start, stop)
    assert b"".join(pieces) == message[start:stop]
    assert sum(end - first for first, end in fetched) == HEADER_SIZE + 56 + 3 * (CHUNK + 16) + 16


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_random_access_refuses_damage_where_it_looks_and_a_wrong_length_everywhere(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]))
    sealed = bytearray(ours(os.urandom(size)))
    position = data.draw(st.integers(HEADER_SIZE * 8, len(sealed) * 8 - 1))
    sealed[position // 8] ^= 1 << position % 8
    with pytest.raises(Unopenable):
        open_range(bytes(sealed), 0, size, size)


@pytest.mark.parametrize("claimed", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK])
def test_a_length_that_is_not_the_true_one_is_refused(claimed: int) -> None:
    size = 2 * CHUNK + 100
    sealed = ours(os.urandom(size))
    with pytest.raises(Unopenable):
        open_range(sealed, 0, 1, claimed)
    with pytest.raises(Unopenable):
        open_range(sealed[: cobblestone.sealed_size(claimed)], 0, 1, claimed)


def test_chunks_of_two_objects_do_not_mix() -> None:
    one, two = ours(os.urandom(3 * CHUNK)), ours(os.urandom(3 * CHUNK))
    at = HEADER_SIZE + 56
    for splice in (
        one[:at] + two[at:],
        one[: at + CHUNK + 16] + two[at + CHUNK + 16 :],
        two[:HEADER_SIZE] + one[HEADER_SIZE : HEADER_SIZE + 24] + two[HEADER_SIZE + 24 :],
    ):
        with pytest.raises(Unopenable):
            open_ours(splice)
        with pytest.raises((AssertionError, InvalidTag)):
            decrypt(KEY, full_context(), splice[HEADER_SIZE:])
        with pytest.raises(Unopenable):
            open_range(splice, 0, 3 * CHUNK, 3 * CHUNK)
