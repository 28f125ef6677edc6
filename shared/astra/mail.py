"""Letters over SMTP: with TLS wherever they leave the machine."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote

from pydantic import AnyUrl

_TIMEOUT: Final = 10.0
_PORTS: Final = {"smtps": 465, "smtp": 25}
_CLOSING: Final = 421
_PERMANENT: Final = 500
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
        """SMTP's reply."""

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


@contextmanager
def connected(server: AnyUrl) -> Iterator[smtplib.SMTP]:
    """A connection to `smtps://user:password@host` or `smtp://host`, for as many letters as one likes."""
    at = (server.host or "", server.port or _PORTS[server.scheme])
    with (
        smtplib.SMTP_SSL(*at, timeout=_TIMEOUT, context=ssl.create_default_context())
        if server.scheme == "smtps"
        else smtplib.SMTP(*at, timeout=_TIMEOUT)
    ) as smtp:
        if server.username:
            smtp.login(unquote(server.username), unquote(server.password or ""))
        yield smtp


def deliver(smtp: smtplib.SMTP, letter: EmailMessage) -> None:
    """Hand over one letter. Raises Undeliverable if this one is refused, and one of FAILURES if it is not about it."""
    [recipient] = letter["To"].addresses
    try:
        smtp.send_message(letter, to_addrs=[recipient.addr_spec])
    except smtplib.SMTPRecipientsRefused as refused:
        [(code, _)] = refused.recipients.values()
    except smtplib.SMTPNotSupportedError:
        code = _BAD_ADDRESS  # of letters that this server can't write
    except smtplib.SMTPDataError as refused:
        code = refused.smtp_code
    else:
        return
    if code == _CLOSING:
        raise smtplib.SMTPServerDisconnected("the server closes the connection")
    # `from None`: what was raised names the address.
    raise Undeliverable(code) from None
