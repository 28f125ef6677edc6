"""Letters to a real SMTP server: over TLS, with name and password, and only if the server is who it says it is."""

import datetime
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import AnyUrl

from astra.notices import smtp as notices_smtp
from bench.letters import free_port
from local.stand_ins.mail_server import MailServer
from tests.functions.notices.post_office import PostOffice

# The whole connection is TLS: the server, which means STARTTLS, does not know.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
PASSWORD = "p@ss/word"  # noqa: S105
LETTER = ("privacy@example.org", "ada@example.com", "Your code", "12345678\n", "a-key")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MailServer, int, list[Any]]]:
    """An SMTP server behind TLS that wants a password; what it was told as such is kept."""
    cert, key = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    kept, told = MailServer(0), []

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        told.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode())

    port = free_port()
    controller = Controller(
        kept,
        hostname="localhost",
        port=port,
        ssl_context=context,
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    yield kept, port, told
    controller.stop()


def url(port: int, host: str = "localhost", password: str = PASSWORD) -> AnyUrl:
    quoted = password.replace("@", "%40").replace("/", "%2F")
    return AnyUrl(f"smtps://astra:{quoted}@{host}:{port}")


def test_a_letter_goes_over_tls_with_name_and_password(server: tuple[MailServer, int, list[Any]]) -> None:
    kept, port, told = server
    notices_smtp.send(url(port), *LETTER)
    [letter] = kept.messages
    assert told == [(b"astra", PASSWORD.encode())]
    assert (letter.sender, letter.recipients) == (LETTER[0], (LETTER[1],))
    assert letter.message["Subject"] == "Your code"
    assert letter.message["Message-ID"] == "<a-key@example.org>"
    assert letter.message.get_content().split() == ["12345678"]


def test_a_server_that_is_not_who_it_says_gets_nothing(server: tuple[MailServer, int, list[Any]]) -> None:
    kept, port, told = server
    with pytest.raises(ssl.SSLCertVerificationError):
        notices_smtp.send(url(port, host="127.0.0.1"), *LETTER)
    assert (kept.messages, told) == ([], [])


def test_a_wrong_password_is_an_error_that_does_not_repeat_it(server: tuple[MailServer, int, list[Any]]) -> None:
    kept, port, _ = server
    with pytest.raises(OSError) as refusal:
        notices_smtp.send(url(port, password="wrong-password"), *LETTER)
    assert "wrong-password" not in str(refusal.value)
    assert kept.messages == []


def test_a_header_can_not_be_smuggled_in_by_an_address(server: tuple[MailServer, int, list[Any]]) -> None:
    kept, port, _ = server
    sender, _, *rest = LETTER
    for to in ("ada@example.com\r\nBcc: eve@example.com", "ada\r\nBcc: eve@example.com"):
        with pytest.raises(notices_smtp.Undeliverable) as refusal:
            notices_smtp.send(url(port), sender, to, *rest)
        assert refusal.value.for_good
        assert "example" not in str(refusal.value)
    assert kept.messages == []


@pytest.mark.parametrize("to", ["ada,eve@example.com", "ada(eve)@example.com", "ada;eve@example.com"])
def test_an_address_is_one_address_whatever_is_in_it(server: tuple[MailServer, int, list[Any]], to: str) -> None:
    kept, port, _ = server
    sender, _, *rest = LETTER
    notices_smtp.send(url(port), sender, to, *rest)
    [letter] = kept.messages
    assert [recipient.replace('"', "") for recipient in letter.recipients] == [to]


@pytest.fixture
def office() -> Iterator[PostOffice]:
    """An SMTP server without TLS whose mailboxes behave as their names say."""
    office = PostOffice()
    office.open()
    yield office
    office.shut()


@pytest.mark.parametrize("name", ["closing", "dropping", "tarpit", "slow"])
def test_a_connection_that_breaks_once_the_mailbox_is_named_is_about_that_mailbox(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(notices_smtp, "_TIMEOUT_SECONDS", 0.2)
    office.delay = 0.6
    sender, _, *rest = LETTER
    with (
        pytest.raises(notices_smtp.Undeliverable) as broken,
        notices_smtp.connected(AnyUrl(office.url), timedelta(seconds=0.2)) as smtp,
    ):
        notices_smtp.deliver(smtp, notices_smtp.compose(sender, f"{name}.ada@example.com", *rest))
    assert (broken.value.code, broken.value.for_good) == (421, False)
    assert "example" not in str(broken.value)


def test_a_server_that_closes_before_that_is_about_no_mailbox(office: PostOffice) -> None:
    office.is_closing = True
    with pytest.raises(notices_smtp.FAILURES):
        notices_smtp.send(AnyUrl(office.url), *LETTER)


def test_the_answer_to_a_letter_is_waited_for_longer_than_others(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices_smtp, "_TIMEOUT_SECONDS", 0.2)
    office.delay = 0.6
    sender, _, *rest = LETTER
    with notices_smtp.connected(AnyUrl(office.url), timedelta(seconds=30)) as smtp:
        notices_smtp.deliver(smtp, notices_smtp.compose(sender, "slow.ada@example.com", *rest))
        notices_smtp.deliver(smtp, notices_smtp.compose(*LETTER))
        with pytest.raises(notices_smtp.Undeliverable):
            notices_smtp.deliver(smtp, notices_smtp.compose(sender, "tarpit.ada@example.com", *rest))
    assert len(office.messages) == 2
