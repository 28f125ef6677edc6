"""Letters over SMTP: with TLS wherever they leave the machine."""

import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote

from pydantic import AnyUrl

_TIMEOUT: Final = 10.0
_PORTS: Final = {"smtps": 465, "smtp": 25}


def send(server: AnyUrl, sender: str, to: str, subject: str, text: str, key: str) -> None:
    """Hand one letter to `server`, `smtps://user:password@host` or `smtp://host`; raises OSError or SMTPException.

    `key` names what the letter is about: sent again after a crash it has the same Message-ID, by which a mailbox can
    tell that it is the same letter.
    """
    letter = EmailMessage()
    name, _, domain = to.rpartition("@")
    # As an address, not as text of a header: there a comma would make two of it, and a bracket a comment.
    letter["To"] = recipient = Address(username=name, domain=domain)
    letter["From"], letter["Subject"] = sender, subject
    letter["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    letter.set_content(text)
    at = (server.host or "", server.port or _PORTS[server.scheme])
    with (
        smtplib.SMTP_SSL(*at, timeout=_TIMEOUT, context=ssl.create_default_context())
        if server.scheme == "smtps"
        else smtplib.SMTP(*at, timeout=_TIMEOUT)
    ) as smtp:
        if server.username:
            smtp.login(unquote(server.username), unquote(server.password or ""))
        smtp.send_message(letter, to_addrs=[recipient.addr_spec])
