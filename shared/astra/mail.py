"""Letters over SMTP: with TLS wherever they leave the machine."""

import smtplib
import ssl
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
    letter["From"], letter["To"], letter["Subject"] = sender, to, subject
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
        smtp.send_message(letter)
