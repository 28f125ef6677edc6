"""The Cloud KMS client, against a gRPC server made from Google's own service definition.

The server stands in for Cloud KMS, which has no emulator: it checks and answers checksums as the real one does.
"""

from collections.abc import Iterator
from concurrent import futures

import google_crc32c
import grpc
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import kms
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport

from astra.kms import GoogleKms, Kms, KmsError, LocalKms

KEY = "projects/demo-astra/locations/global/keyRings/astra/cryptoKeys/users"
SERVICE = "google.cloud.kms.v1.KeyManagementService"


class CloudKms:
    """Encrypt and Decrypt of one key. `damage` is applied to each answer, as a bad network would."""

    def __init__(self) -> None:
        self._aead, self.damaged = AESGCM(bytes(32)), False

    def encrypt(self, request: kms.EncryptRequest, context: grpc.ServicerContext) -> kms.EncryptResponse:
        aad = request.additional_authenticated_data
        if request.name != KEY:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        sealed = self._aead.encrypt(bytes(12), request.plaintext, aad)
        return kms.EncryptResponse(
            name=KEY + "/cryptoKeyVersions/1",
            ciphertext=sealed[::-1] if self.damaged else sealed,
            ciphertext_crc32c=google_crc32c.value(sealed),
            verified_plaintext_crc32c=request.plaintext_crc32c == google_crc32c.value(request.plaintext),
            verified_additional_authenticated_data_crc32c=request.additional_authenticated_data_crc32c
            == google_crc32c.value(aad),
        )

    def decrypt(self, request: kms.DecryptRequest, context: grpc.ServicerContext) -> kms.DecryptResponse:
        try:
            secret = self._aead.decrypt(bytes(12), request.ciphertext, request.additional_authenticated_data)
        except InvalidTag:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed")
        return kms.DecryptResponse(
            plaintext=secret[::-1] if self.damaged else secret, plaintext_crc32c=google_crc32c.value(secret)
        )


@pytest.fixture
def cloud() -> CloudKms:
    return CloudKms()


@pytest.fixture
def google(cloud: CloudKms, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleKms]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(method, asked.deserialize, answered.serialize)
        for name, method, asked, answered in (
            ("Encrypt", cloud.encrypt, kms.EncryptRequest, kms.EncryptResponse),
            ("Decrypt", cloud.decrypt, kms.DecryptRequest, kms.DecryptResponse),
        )
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    real = kms.KeyManagementServiceClient
    transport = KeyManagementServiceGrpcTransport(
        channel=grpc.insecure_channel(f"127.0.0.1:{port}"), credentials=AnonymousCredentials()
    )
    monkeypatch.setattr(kms, "KeyManagementServiceClient", lambda: real(transport=transport))
    yield GoogleKms(KEY)
    server.stop(None).wait()


@pytest.fixture(params=["local", "google"])
def any_kms(request: pytest.FixtureRequest, google: GoogleKms) -> Kms:
    return google if request.param == "google" else LocalKms(bytes(32))


def test_a_secret_comes_back_under_its_context_only(any_kms: Kms) -> None:
    wrapped = any_kms.wrap(b"k" * 32, b"ada|1")
    assert b"kkkk" not in wrapped
    assert any_kms.unwrap(wrapped, b"ada|1") == b"k" * 32
    for context in (b"ada|2", b"grace|1", b""):
        with pytest.raises((KmsError, GoogleAPICallError)):
            any_kms.unwrap(wrapped, context)
    with pytest.raises((KmsError, GoogleAPICallError)):
        any_kms.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"ada|1")


def test_a_damaged_answer_is_refused(cloud: CloudKms, google: GoogleKms) -> None:
    wrapped = google.wrap(b"k" * 31 + b"l", b"ada|1")
    cloud.damaged = True
    with pytest.raises(KmsError, match="damaged"):
        google.wrap(b"k" * 32, b"ada|1")
    with pytest.raises(KmsError, match="damaged"):
        google.unwrap(wrapped, b"ada|1")
