"""A second implementation of C2SP chunked-encryption, from the specification alone, against the one in use.

Source: https://c2sp.org/chunked-encryption. Nothing here calls `cryptography.cobblestone` or `astra.cobblestone`, but
to compare.
"""

import hashlib
import hmac
import io
import os
import random
import zlib

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from astra import cobblestone
from astra.cobblestone import HEADER_SIZE, Header, Unopenable

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


def open_ours(sealed: bytes) -> bytes:
    return b"".join(cobblestone.unseal([sealed], KEY, lambda _header: BOUND_TO))


def open_range(sealed: bytes, start: int, stop: int, size: int) -> bytes:
    fetch = lambda first, end: sealed[first:end]  # noqa: E731
    return b"".join(cobblestone.unseal_range(fetch, size, KEY, lambda _header: BOUND_TO, start, stop))


# Test vectors 1, 2, 3 and 6 of C2SP/wycheproof, testvectors_v1/c2sp_chunked_encryption_aes_256_gcm_test.json
# (Apache-2.0), made by filippo.io/cobblestone: the ciphertext in zlib, the SHA-512 of the message.
WYCHEPROOF = {
    "empty": (
        "78da004800b7ff43a2e39431cbae0389d3fc86adf46f7c3a24de88d9311617e53f3164cc1d5dc738a66b97f0bf786565c31799c2f463d5"
        "0a7e10046011dc6fc3c939e3a5db7affb6191551669554fb010000ffff4bc124df",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a"
        "81a538327af927da3e",
    ),
    "short": (
        "78da004f00b0ffa1a1b56f6db58cd1ede0c5c9db62aef20d3f96a6c594bb9252bb38122de91236502b42a1d7fcab820ffa292940d2f86a"
        "dd212cfa42c38df19d3cc9139ee61a5990d3db57433514229beea49a8a72bd010000ffffdb4f2a44",
        "e85f32a85f1d4f7c9b2d36d20eca8435d81253e7075e9dea069eb1b6da48daf92ef1797367b520d8a46c4f72cecb85b1daff8887fcb417"
        "21d39943d1952fc180",
    ),
    "a chunk and a byte": (
        "78daecc0312b05010000e0ab33889449c9a0cb22b9ba89943f70a5fc02db1918582c6e757465a0db6eb11ad5a52e1383b2dca26c66a464"
        "7b75f55ebdf733def27d4f7ff71fd7e9db7137b778b1558707cdd27cf270d4177b2f7751f738d80e376f9ed7aaaf7c793dfa0d47ef2797"
        "b3e57ed6bf360100000000000000000000000000000030750bc9613ffc6cafd232cb57ebd3b320de5d29cedbf876a7da18ff7fffcc4c02"
        "0000ffffea552abb",
        "db9e441f318209d02c8eaedfa94be7a08d3414057835c80ecea2deb0b16438ff97ae6dac13a749efe4a24686b01dc0dfab756703e810cc"
        "164466cd5cce99b3e8",
    ),
    "exactly a chunk": (
        "78daecc0ad4a0301000060c560f019c49faca0ed821ea2588c62100541cc2746413841835a7c018b20076a325dd4032d8eb5856361db2d"
        "6d6c8b2b838ded3156beeff3fce3e4eb20e9fcf5aaedb07ffb589b1f657190fee7f16f763d3bdcf9ce8aabe5d74a145e5e1cdd6fad6c2c"
        "1ebead8d8b87c60c00000000000000000000000000000030759bfb7bc7ade6dcfa69ba5abf7bff79d92e3d07e585a7ddbcbb743648a29b"
        "49000000ffff4eef2f3b",
        "d787e0bf39e0d2e9a707b94bc77329f665286160744507f0fac9608e33a98994b6d9dd4a43a6326287d32b2e15d76e0de6a8818689698b"
        "ee2ca419bf9bbedc02",
    ),
}


@pytest.mark.parametrize("name", WYCHEPROOF)
def test_both_open_what_a_third_implementation_made(name: str) -> None:
    packed, expected = WYCHEPROOF[name]
    sealed = zlib.decompress(bytes.fromhex(packed))
    message = decrypt(b"YELLOW SUBMARINE YELLOW SUBMARIN", b"", sealed)
    assert hashlib.sha512(message).hexdigest() == expected
    library = Cobblestone256Decryptor(b"YELLOW SUBMARINE YELLOW SUBMARIN", b"")
    assert library.update(sealed) + library.finalize() == message


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
