"""SMTP: composing and sending e-mail, over TLS outside the machine."""

import re
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from pydantic import AnyUrl

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TIMEOUT_SECONDS: Final = 10.0
"""Seconds for each answer, but for that to a whole letter; see `connected`."""
_PORTS: Final = {"smtps": 465, "smtp": 25}
_CLOSING: Final = 421
_PERMANENT: Final = 500
_TOO_LARGE: Final = 552
_BAD_ADDRESS: Final = 553
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DOMAIN: Final = re.compile(r"[\w-]+(\.[\w-]+)*")

FAILURES: Final = (OSError, smtplib.SMTPException)
"""What it looks like when no letter can be sent at all: the server is away, is not who it says, or wants none of us."""


class Undeliverable(Exception):
    """The server takes letters, but not this one. The message names nobody."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with {code}")
        self.code = code
        """SMTP's reply; 421, "the channel closes", also of a connection that broke while the letter was under way."""

    @property
    def for_good(self) -> bool:
        """Whether it would be refused again."""
        return self.code >= _PERMANENT


def send(server: AnyUrl, sender: str, to: str, subject: str, text: str, key: str) -> None:
    """Hand one letter to `server`; raises Undeliverable, or one of FAILURES. See `compose`, `connected`."""
    with connected(server) as smtp:
        deliver(smtp, compose(sender, to, subject, text, key))


def compose(sender: str, to: str, subject: str, text: str, key: str, html: str | None = None) -> EmailMessage:
    """A letter, with a page beside its text if there is one. Raises Undeliverable if `to` can be no address.

    `key` names what the letter is about: sent again after a crash it has the same Message-ID, by which a mailbox can
    tell that it is the same letter.
    """
    letter = EmailMessage()
    name, _, domain = to.rpartition("@")
    if not name or _CONTROL.search(name) or not _DOMAIN.fullmatch(domain):
        raise Undeliverable(_BAD_ADDRESS)
    # As an address, not as text of a header: there a comma would make two of it, and a bracket a comment.
    letter["To"] = Address(username=name, domain=domain)
    letter["From"], letter["Subject"], letter["Date"] = sender, subject, formatdate(usegmt=True)
    letter["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"  # whoever is away need not tell us
    letter.set_content(text)
    if html is not None:
        letter.add_alternative(html, subtype="html")
    return letter


class Connection(smtplib.SMTP):
    """Waits longer for the answer to a letter, and knows whether one is under way."""

    patience = _TIMEOUT_SECONDS
    is_under_way = False

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> tuple[int, bytes]:
        """From here on a failure is about one mailbox."""
        self.is_under_way = True
        return super().rcpt(recip, options)

    def send(self, s: "ReadableBuffer | str") -> None:
        """Commands are text, a letter is bytes."""
        super().send(s)
        if self.sock:
            self.sock.settimeout(_TIMEOUT_SECONDS if isinstance(s, str) else self.patience)


class _Tls(Connection, smtplib.SMTP_SSL):
    """The same over TLS."""


@contextmanager
def connected(server: AnyUrl, patience: timedelta = timedelta(seconds=_TIMEOUT_SECONDS)) -> Iterator[Connection]:
    """A connection to `smtps://user:password@host` or `smtp://host`, for as many letters as one likes.

    `patience` is for the answer to each whole letter: servers may look into it before they take it, and one that took
    it but was not waited for is sent it again.
    """
    at = (server.host or "", server.port or _PORTS[server.scheme])
    with (
        _Tls(*at, timeout=_TIMEOUT_SECONDS, context=ssl.create_default_context())
        if server.scheme == "smtps"
        else Connection(*at, timeout=_TIMEOUT_SECONDS)
    ) as smtp:
        smtp.patience = patience.total_seconds()
        if server.username:
            smtp.login(unquote(server.username), unquote(server.password or ""))
        yield smtp


def deliver(smtp: Connection, letter: EmailMessage) -> None:
    """Hand over one letter. Raises Undeliverable if this one is refused or the connection breaks once its recipient is
    named, and one of FAILURES if it is not about it."""
    [recipient] = letter["To"].addresses
    smtp.is_under_way = False
    try:
        smtp.send_message(letter, to_addrs=[recipient.addr_spec])
    except smtplib.SMTPRecipientsRefused as refused:
        [(code, _)] = refused.recipients.values()
    except smtplib.SMTPNotSupportedError:
        code = _BAD_ADDRESS  # of letters that this server can't write
    except smtplib.SMTPDataError as refused:
        code = refused.smtp_code
    except FAILURES as broken:
        if getattr(broken, "smtp_code", None) == _TOO_LARGE:  # said with the sender's address
            code = _TOO_LARGE
        elif smtp.is_under_way:
            code = _CLOSING
        else:
            raise
    else:
        return
    # `from None`: what was raised names the address.
    raise Undeliverable(code) from None
