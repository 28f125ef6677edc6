"""The key services' clients. Neither service has an emulator of its own, so two stand-ins speak their protocols:

for Cloud KMS a gRPC server made from Google's own service definition, which checks and answers checksums as the real
one does; for AWS KMS moto's server over HTTP.
"""

import base64
from collections.abc import Iterator
from concurrent import futures

import boto3
import google_crc32c
import grpc
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.auth.credentials import AnonymousCredentials
from google.cloud import kms
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport
from moto.server import ThreadedMotoServer

from astra.runtime.settings import load
from astra.vault.kms import AwsKms, GoogleKms, Keyring, Kms, KmsError, LocalKms, Undecryptable
from astra.vault.settings import SealingSettings

KEY = "projects/demo-astra/locations/global/keyRings/astra/cryptoKeys/users"
SERVICE = "google.cloud.kms.v1.KeyManagementService"


class CloudKms:
    """Encrypt and Decrypt of one key. `damaged` answers are what a bad network makes; `unverified` names what of the
    request the service did not check."""

    def __init__(self) -> None:
        self._aead, self.damaged, self.unverified = AESGCM(bytes(32)), False, ""

    def encrypt(self, request: kms.EncryptRequest, context: grpc.ServicerContext) -> kms.EncryptResponse:
        aad = request.additional_authenticated_data
        if request.name != KEY:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        sealed = self._aead.encrypt(bytes(12), request.plaintext, aad)
        return kms.EncryptResponse(
            name=KEY + "/cryptoKeyVersions/1",
            ciphertext=sealed[::-1] if self.damaged else sealed,
            ciphertext_crc32c=google_crc32c.value(sealed),
            verified_plaintext_crc32c=self.unverified != "plaintext"
            and request.plaintext_crc32c == google_crc32c.value(request.plaintext),
            verified_additional_authenticated_data_crc32c=self.unverified != "context"
            and request.additional_authenticated_data_crc32c == google_crc32c.value(aad),
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
    monkeypatch.setattr(kms, "KeyManagementServiceClient", lambda **_: real(transport=transport))
    yield GoogleKms(KEY)
    server.stop(None).wait()


@pytest.fixture(scope="module")
def aws_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AwsKms:
    for name, value in (
        ("AWS_ENDPOINT_URL", aws_endpoint),
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
    ):
        monkeypatch.setenv(name, value)
    key = boto3.client("kms", region_name="eu-central-1").create_key()["KeyMetadata"]["Arn"]
    return AwsKms(key)


@pytest.fixture(params=["local", "google", "aws"])
def any_kms(request: pytest.FixtureRequest, google: GoogleKms, aws: AwsKms) -> Kms:
    return {"local": LocalKms(bytes(32)), "google": google, "aws": aws}[request.param]


def test_a_secret_comes_back_under_its_context_only(any_kms: Kms) -> None:
    wrapped = any_kms.wrap(b"k" * 32, b"ada|1")
    assert b"kkkk" not in wrapped
    assert any_kms.unwrap(wrapped, b"ada|1") == b"k" * 32
    for context in (b"ada|2", b"grace|1", b""):
        with pytest.raises(Undecryptable):
            any_kms.unwrap(wrapped, context)
    with pytest.raises(Undecryptable):
        any_kms.unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"ada|1")


def test_a_damaged_answer_is_refused(cloud: CloudKms, google: GoogleKms) -> None:
    wrapped = google.wrap(b"k" * 31 + b"l", b"ada|1")
    cloud.damaged = True
    with pytest.raises(KmsError, match="damaged"):
        google.wrap(b"k" * 32, b"ada|1")
    with pytest.raises(KmsError, match="damaged"):
        google.unwrap(wrapped, b"ada|1")


@pytest.mark.parametrize("unverified", ["plaintext", "context"])
def test_a_request_that_the_service_could_not_verify_is_refused(
    cloud: CloudKms, google: GoogleKms, unverified: str
) -> None:
    cloud.unverified = unverified
    with pytest.raises(KmsError, match="damaged"):
        google.wrap(b"k" * 32, b"ada|1")


def test_a_key_service_that_does_not_answer_says_so_without_data(aws: AwsKms, google: GoogleKms) -> None:
    google._key = "projects/x/locations/y/keyRings/z/cryptoKeys/none"
    aws._key = aws._key[:-4] + "0000"
    for service, name in ((google, "NotFound"), (aws, "ClientError")):
        with pytest.raises(KmsError):
            service.unwrap(b"canary" * 5, b"ada|1")
        with pytest.raises(KmsError, match=f"answered .*({name}|NotFoundException)") as refusal:
            service.wrap(b"canary" * 5, b"ada|1")
        assert not isinstance(refusal.value, Undecryptable), "a key service that is down says nothing about a key"
        assert "canary" not in str(refusal.value)
        assert refusal.value.__cause__ is None


def test_a_keyring_finds_the_service_by_the_uri_and_knows_no_other(
    aws: AwsKms, google: GoogleKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNCTIONS_EMULATOR", "true")
    key = base64.b64encode(bytes(32)).decode()
    for name, value in (("PSEUDONYM_KEY", key), ("LOCAL_KMS_KEY", key), ("REDIS_URL", "redis://127.0.0.1/0")):
        monkeypatch.setenv(f"ASTRA_{name}", value)
    monkeypatch.setenv("ASTRA_KMS_URI", f"aws-kms://{aws._key}")
    keyring = Keyring(load(SealingSettings))
    for uri in (keyring.uri, "local", f"gcp-kms://{KEY}"):
        service = keyring.service(uri)
        assert service is keyring.service(uri)
        assert service.unwrap(service.wrap(b"k" * 32, b"c"), b"c") == b"k" * 32
    with pytest.raises(KmsError, match="no key service of this kind"):
        keyring.service("file:///tmp/key")
    monkeypatch.delenv("FUNCTIONS_EMULATOR")
    with pytest.raises(KmsError):
        Keyring(keyring._settings).service("local")
