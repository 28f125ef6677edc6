"""Key services by URI: Cloud KMS, AWS KMS, and a local one for the emulators."""

import base64
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

import google_crc32c
from cryptography.exceptions import InvalidTag
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument

from astra.runtime.settings import emulated
from astra.vault import keywrap
from astra.vault.settings import SealingSettings

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

_TIMEOUT_SECONDS: Final = 5.0


class KmsError(RuntimeError):
    """The key service did not wrap or unwrap. The message holds no key and no data."""


class Undecryptable(KmsError):
    """The key service is there and says that this opens under none of its keys: it is damaged, or was never its own."""


class Kms(Protocol):
    """Wraps small secrets under one key, bound to `context`: unwrapping under another context fails."""

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Encrypt `secret`; raises KmsError."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made under the same context; raises Undecryptable for anything else, KmsError."""
        ...


class LocalKms:
    """AES-256-GCM under a key from the environment. Settings refuse it outside the emulators."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        return keywrap.wrap(self._key, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return keywrap.unwrap(self._key, wrapped, context)
        except (InvalidTag, ValueError):
            raise Undecryptable("the local key does not open this") from None


class GoogleKms:
    """Cloud KMS, symmetric, with additional authenticated data. `key` is `projects/…/cryptoKeys/NAME`.

    Both ends check CRC32C, as Google's data integrity guidelines for KMS ask.
    """

    def __init__(self, key: str, credentials: "Credentials | None" = None) -> None:
        from google.cloud import kms  # noqa: PLC0415  (its import costs more than the rest of the vault)

        self._client = kms.KeyManagementServiceClient(credentials=credentials)
        self._key = key

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        answer = self._ask(self._client.encrypt, "plaintext", secret, context)
        checked = answer.verified_plaintext_crc32c and answer.verified_additional_authenticated_data_crc32c
        return _intact(answer.ciphertext, answer.ciphertext_crc32c if checked else None)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        answer = self._ask(self._client.decrypt, "ciphertext", wrapped, context)
        return _intact(answer.plaintext, answer.plaintext_crc32c)

    def _ask(self, method: Any, field: str, value: bytes, context: bytes) -> Any:
        request = {
            "name": self._key,
            field: value,
            f"{field}_crc32c": google_crc32c.value(value),
            "additional_authenticated_data": context,
            "additional_authenticated_data_crc32c": google_crc32c.value(context),
        }
        try:
            return method(request=request, timeout=_TIMEOUT_SECONDS)
        except GoogleAPICallError as error:
            foreign = field == "ciphertext" and isinstance(error, InvalidArgument)
            raise (Undecryptable if foreign else KmsError)(f"Cloud KMS answered {type(error).__name__}") from None


class AwsKms:
    """AWS KMS, symmetric, with an encryption context. `key` is an ARN. A key held outside Google's reach."""

    def __init__(self, key: str) -> None:
        import boto3  # noqa: PLC0415  (only where such a key is in use)
        from botocore.config import Config  # noqa: PLC0415

        config = Config(connect_timeout=_TIMEOUT_SECONDS, read_timeout=_TIMEOUT_SECONDS, retries={"mode": "standard"})
        self._client = boto3.client("kms", region_name=key.split(":")[3], config=config)
        self._key = key

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        answer = self._ask(self._client.encrypt, context, Plaintext=secret)
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        answer = self._ask(self._client.decrypt, context, CiphertextBlob=wrapped)
        return bytes(answer["Plaintext"])

    def _ask(self, method: Any, context: bytes, **blob: bytes) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        # AWS takes text only, and logs it in the clear: an e-mail address must never be in a context.
        bound_to = {"astra": base64.b64encode(context).decode()}
        try:
            return method(KeyId=self._key, EncryptionContext=bound_to, **blob)
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            foreign = code in ("InvalidCiphertextException", "IncorrectKeyException")
            raise (Undecryptable if foreign else KmsError)(f"AWS KMS answered {type(error).__name__}") from None


def _intact(value: bytes, checksum: int | None) -> bytes:
    if checksum != google_crc32c.value(value):
        raise KmsError("the key service's answer was damaged on its way")
    return value


class Keyring:
    """The key in use, and those that it followed: what each wrapped names it by its URI.

    `credentials` are for Cloud KMS: the process's own if there are none.
    """

    def __init__(self, settings: SealingSettings, credentials: "Credentials | None" = None) -> None:
        self._settings, self._credentials = settings, credentials
        self._services: dict[str, Kms] = {}
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        """The key that wraps from now on."""
        return self._settings.kms_uri

    def service(self, uri: str) -> Kms:
        """The client of the key that `uri` names, made once."""
        with self._lock:
            if uri not in self._services:
                self._services[uri] = self._connect(uri)
            return self._services[uri]

    def _connect(self, uri: str) -> Kms:
        scheme, _, key = uri.partition("://")
        if uri == "local" and self._settings.local_kms_key and emulated():
            return LocalKms(self._settings.local_kms_key.get_secret_value())
        if scheme == "gcp-kms":
            return GoogleKms(key, self._credentials)
        if scheme == "aws-kms":
            return AwsKms(key)
        raise KmsError("no key service of this kind is set up here")
