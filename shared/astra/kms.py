"""The key that wraps users' keys, named by a URI and never seen by us outside the local stack."""

import os
from typing import Protocol

import google_crc32c
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from astra.settings import SealingSettings


class KmsError(RuntimeError):
    """The key service did not wrap or unwrap. The message holds no key and no data."""


class Kms(Protocol):
    """Wraps small secrets under one key, bound to `context`: unwrapping under another context fails."""

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Encrypt `secret`; raises KmsError."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made under the same context; raises KmsError."""
        ...


class LocalKms:
    """AES-256-GCM under a key from the environment. Settings refuse it outside the emulators."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return self._aead.decrypt(wrapped[:12], wrapped[12:], context)
        except (InvalidTag, ValueError):
            raise KmsError("the local key does not open this") from None


class GoogleKms:
    """Cloud KMS, symmetric, with additional authenticated data. `key` is `projects/…/cryptoKeys/NAME`.

    Both ends check CRC32C, as Google's data integrity guidelines for KMS ask.
    """

    def __init__(self, key: str) -> None:
        from google.cloud import kms  # noqa: PLC0415  (its import costs more than the rest of the vault)

        self._client = kms.KeyManagementServiceClient()
        self._key = key

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        answer = self._client.encrypt(
            request={
                "name": self._key,
                "plaintext": secret,
                "plaintext_crc32c": google_crc32c.value(secret),
                "additional_authenticated_data": context,
                "additional_authenticated_data_crc32c": google_crc32c.value(context),
            },
            timeout=5,
        )
        intact = (
            answer.verified_plaintext_crc32c
            and answer.verified_additional_authenticated_data_crc32c
            and answer.ciphertext_crc32c == google_crc32c.value(answer.ciphertext)
        )
        if not intact:
            raise KmsError("the key service's answer was damaged on its way")
        return answer.ciphertext

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        answer = self._client.decrypt(
            request={
                "name": self._key,
                "ciphertext": wrapped,
                "ciphertext_crc32c": google_crc32c.value(wrapped),
                "additional_authenticated_data": context,
                "additional_authenticated_data_crc32c": google_crc32c.value(context),
            },
            timeout=5,
        )
        if answer.plaintext_crc32c != google_crc32c.value(answer.plaintext):
            raise KmsError("the key service's answer was damaged on its way")
        return answer.plaintext


def connect(settings: SealingSettings) -> Kms:
    """The key that `settings.kms_uri` names."""
    if settings.kms_uri == "local" and settings.local_kms_key:
        return LocalKms(settings.local_kms_key.get_secret_value())
    return GoogleKms(settings.kms_uri.removeprefix("gcp-kms://"))
