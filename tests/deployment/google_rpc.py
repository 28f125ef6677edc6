"""A stand-in for what functions ask over gRPC: Cloud KMS, and the settings of Firestore's databases.

As strict as the service: a request must bear the access token, checksums and a key that exists; ciphertext opens under
its own additional authenticated data alone.

https://cloud.google.com/kms/docs/data-integrity-guidelines
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud.firestore_admin_v1 import types as firestore_types
from google.cloud.kms_v1 import types as kms_types

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.deployment.google_hosts import GoogleHosts

#: The hosts that it plays.
HOSTS: Final = ("cloudkms.googleapis.com", "firestore.googleapis.com")
_NONCE_BYTES: Final = 12
_KMS: Final = "google.cloud.kms.v1.KeyManagementService"
_ADMIN: Final = "google.firestore.admin.v1.FirestoreAdmin"


class GoogleRpc:
    """One key named `key`, and a project whose databases keep no copies. `hosts` knows who may ask."""

    def __init__(self, key: str, hosts: GoogleHosts) -> None:
        self._key, self._hosts, self._cipher = key, hosts, AESGCM(os.urandom(32))
        #: How often each method was asked.
        self.calls: list[str] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        kms = {
            "Encrypt": (self._encrypt, kms_types.EncryptRequest, kms_types.EncryptResponse),
            "Decrypt": (self._decrypt, kms_types.DecryptRequest, kms_types.DecryptResponse),
        }
        admin: dict[str, Any] = {
            "ListBackups": (
                lambda _asked, _context: firestore_types.ListBackupsResponse(),
                firestore_types.ListBackupsRequest,
                firestore_types.ListBackupsResponse,
            ),
            "ListBackupSchedules": (
                lambda _asked, _context: firestore_types.ListBackupSchedulesResponse(),
                firestore_types.ListBackupSchedulesRequest,
                firestore_types.ListBackupSchedulesResponse,
            ),
            "GetDatabase": (_database, firestore_types.GetDatabaseRequest, firestore_types.Database),
        }
        for service, methods in ((_KMS, kms), (_ADMIN, admin)):
            handlers = {name: self._handler(name, *how) for name, how in methods.items()}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_how: object) -> None:
        self._server.stop(grace=None).wait()

    def _handler(self, name: str, do: Callable[..., Any], asked: Any, answered: Any) -> Any:
        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(name)
            authorization = dict(context.invocation_metadata()).get("authorization")
            try:
                self._hosts.check_access(authorization)
            except Exception as refusal:  # noqa: BLE001
                context.abort(grpc.StatusCode.UNAUTHENTICATED, str(refusal))
            return do(request, context)

        return grpc.unary_unary_rpc_method_handler(
            serve, request_deserializer=asked.deserialize, response_serializer=answered.serialize
        )

    def _check(self, request: Any, value: bytes, checksum: int, context: grpc.ServicerContext) -> bytes:
        """Return the additional authenticated data, once the checksums and the key's name are right."""
        bound_to: bytes = request.additional_authenticated_data
        if request.name != self._key:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKey {request.name} not found.")
        sums = (google_crc32c.value(value), google_crc32c.value(bound_to))
        if (checksum, request.additional_authenticated_data_crc32c) != sums:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "A checksum does not match.")
        return bound_to

    def _encrypt(self, request: Any, context: grpc.ServicerContext) -> kms_types.EncryptResponse:
        bound_to = self._check(request, request.plaintext, request.plaintext_crc32c, context)
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = nonce + self._cipher.encrypt(nonce, request.plaintext, bound_to)
        return kms_types.EncryptResponse(
            name=f"{self._key}/cryptoKeyVersions/1",
            ciphertext=ciphertext,
            ciphertext_crc32c=google_crc32c.value(ciphertext),
            verified_plaintext_crc32c=True,
            verified_additional_authenticated_data_crc32c=True,
        )

    def _decrypt(self, request: Any, context: grpc.ServicerContext) -> kms_types.DecryptResponse:
        bound_to = self._check(request, request.ciphertext, request.ciphertext_crc32c, context)
        nonce, sealed = request.ciphertext[:_NONCE_BYTES], request.ciphertext[_NONCE_BYTES:]
        try:
            plaintext = self._cipher.decrypt(nonce, sealed, bound_to)
        except (InvalidTag, ValueError):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed: the ciphertext is invalid.")
        return kms_types.DecryptResponse(plaintext=plaintext, plaintext_crc32c=google_crc32c.value(plaintext))


def _database(request: Any, _context: grpc.ServicerContext) -> firestore_types.Database:
    off = firestore_types.Database.PointInTimeRecoveryEnablement.POINT_IN_TIME_RECOVERY_DISABLED
    return firestore_types.Database(name=request.name, point_in_time_recovery_enablement=off)
