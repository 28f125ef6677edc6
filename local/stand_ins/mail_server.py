"""A real SMTP server on loopback that keeps every message."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from asyncio import BaseTransport
    from pathlib import Path

    from aiosmtpd.smtp import Envelope, Session


@dataclass(frozen=True)
class Letter:
    """A message as it arrived: the envelope's addresses, and what was in it."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage


class MailServer:
    """Listens on 127.0.0.1; `messages` holds what came, oldest first."""

    def __init__(self, port: int, keep_in: Path | None = None) -> None:
        self.messages: list[Letter] = []
        self.clients = 0
        """Those that are connected: of one that has gone, what it sent may still be to be read."""
        self._keep_in = keep_in
        self._port = port
        self._controller: Controller | None = None

    def start(self) -> None:
        """Begin to listen. Raises OSError when the port is taken."""
        if self._keep_in:
            self._keep_in.mkdir(parents=True, exist_ok=True)
        self._controller = _Controller(self, hostname="127.0.0.1", port=self._port)  # opens an event loop already
        self._controller.start()

    def last_to(self, address: str, about: str = "") -> Letter | None:
        """The newest message to `address` whose subject has `about` in it."""
        theirs = (letter for letter in reversed(self.messages) if address in letter.recipients)
        return next((letter for letter in theirs if about in str(letter.message["Subject"])), None)

    def stop(self) -> None:
        """Stop listening, if it ever began; the messages stay."""
        if self._controller:
            self._controller.stop()
            self._controller.loop.close()
            self._controller = None

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook, called in its own thread for each message."""
        content = envelope.original_content or b""
        message = message_from_bytes(content, policy=modern)
        self.messages.append(Letter(envelope.mail_from or "", tuple(envelope.rcpt_tos), message))
        if self._keep_in:
            (self._keep_in / f"{len(self.messages):05}.eml").write_bytes(content)
        return "250 kept"


class _Controller(Controller):
    def factory(self) -> SMTP:
        return _Session(self.handler, **self.SMTP_kwargs)


class _Session(SMTP):
    """Tells the server how many there are."""

    def connection_made(self, transport: BaseTransport) -> None:
        self.event_handler.clients += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.clients -= 1
        super().connection_lost(error)
