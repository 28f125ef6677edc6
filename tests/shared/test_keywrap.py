import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from astra.vault import keywrap

KEK, KEY = bytes(range(32)), bytes(range(32, 64))
OTHER_SIZES = [0, 16, 24, 31, 33, 64]


def test_a_wrapped_key_opens_under_its_key_and_context_only() -> None:
    wrapped = keywrap.wrap(KEK, KEY, b"ada")
    assert keywrap.unwrap(KEK, wrapped, b"ada") == KEY
    for kek, context in ((KEY, b"ada"), (KEK, b"grace")):
        with pytest.raises(InvalidTag):
            keywrap.unwrap(kek, wrapped, context)


@pytest.mark.parametrize("size", OTHER_SIZES)
def test_keys_of_another_size_wrap_nothing_and_are_not_wrapped(size: int) -> None:
    for kek, key in ((bytes(size), KEY), (KEK, bytes(size))):
        with pytest.raises(ValueError, match="32 bytes"):
            keywrap.wrap(kek, key, b"ada")


@pytest.mark.parametrize("size", OTHER_SIZES)
def test_keys_of_another_size_are_not_unwrapped_though_they_were_wrapped(size: int) -> None:
    nonce = os.urandom(12)
    with pytest.raises(ValueError, match="32 bytes"):
        keywrap.unwrap(KEK, nonce + AESGCM(KEK).encrypt(nonce, bytes(size), b"ada"), b"ada")
    with pytest.raises(ValueError, match="32 bytes"):
        keywrap.unwrap(bytes(size), keywrap.wrap(KEK, KEY, b"ada"), b"ada")
