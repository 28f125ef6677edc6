import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astra.vault import cobblestone
from astra.vault.cobblestone import HEADER_SIZE, Header, Unopenable

KEY = bytes(range(32))
EDGES = [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 448 * 1024 - 1, 448 * 1024, 448 * 1024 + 1, 900_000]


def seal(content: bytes, bound_to: bytes = b"me", version: int = 1) -> bytes:
    sink = io.BytesIO()
    cobblestone.seal(io.BytesIO(content), sink, KEY, Header(version), bound_to)
    return sink.getvalue()


def unseal(sealed: bytes, bound_to: bytes = b"me", key: bytes = KEY, cut: int = 100_000) -> bytes:
    pieces = (sealed[start : start + cut] for start in range(0, len(sealed), cut))
    return b"".join(cobblestone.unseal(pieces, key, lambda _header: bound_to))


@pytest.mark.parametrize("size", EDGES)
def test_what_is_sealed_opens_and_has_the_promised_size(size: int) -> None:
    content = os.urandom(size)
    sealed = seal(content)
    assert unseal(sealed) == content
    assert unseal(sealed, cut=max(1, len(sealed) // 7)) == content
    assert unseal(sealed, cut=5) == content
    assert len(sealed) == cobblestone.sealed_size(size)


@given(st.binary(max_size=40_000))
def test_the_same_content_never_seals_alike(content: bytes) -> None:
    first, second = seal(content), seal(content)
    assert first != second
    assert unseal(first) == unseal(second) == content


def test_every_flipped_bit_is_refused() -> None:
    sealed = seal(b"gold and silver")
    for position in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Unopenable):
            unseal(bytes(damaged))


def test_every_truncation_and_extension_is_refused() -> None:
    sealed = seal(b"x" * 20_000)
    for end in [*range(100), *range(16_400, 16_500), *range(len(sealed) - 40, len(sealed))]:
        with pytest.raises(Unopenable):
            unseal(sealed[:end])
    with pytest.raises(Unopenable):
        unseal(sealed + b"\0")


def test_reordered_chunks_are_refused() -> None:
    sealed, start, chunk = seal(os.urandom(60_000)), HEADER_SIZE + 56, 16 * 1024 + 16
    head, first, second, rest = (
        sealed[:start],
        sealed[start : start + chunk],
        sealed[start + chunk : start + 2 * chunk],
        sealed[start + 2 * chunk :],
    )
    with pytest.raises(Unopenable):
        unseal(head + second + first + rest)


def test_another_context_key_or_version_is_refused() -> None:
    sealed = seal(b"ring")
    with pytest.raises(Unopenable):
        unseal(sealed, bound_to=b"you")
    with pytest.raises(Unopenable):
        unseal(sealed, key=bytes(32))
    with pytest.raises(Unopenable):
        unseal(Header(2).pack() + sealed[HEADER_SIZE:])


def test_parts_of_a_context_do_not_run_together() -> None:
    assert cobblestone.context(b"ab", b"c") != cobblestone.context(b"a", b"bc")
