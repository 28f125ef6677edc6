"""A real SMTP server whose mailboxes behave as their names say."""

import asyncio
from collections import Counter
from typing import Any

from aiosmtpd.controller import Controller

from bench.letters import free_port
from local.stand_ins.mail_server import MailServer


class PostOffice(MailServer):
    """`nobody.…@` is refused for good, `full.…@` for now, `spam.…@` once its letter was read. For `closing.…@` and
    `dropping.…@` it ends the connection; for `tarpit.…@` it answers after `delay`, and a letter to `slow.…@` is kept at
    once, which it says after `delay`. It takes `most` letters over one connection, and it can be shut."""

    def __init__(self) -> None:
        super().__init__(0)
        self.port, self.is_closing, self.refused = free_port(), False, Counter[str]()
        self.most, self.delay, self.connections = 1000, 0.0, Counter[Any]()
        self._open: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen."""
        self._open = Controller(self, hostname="127.0.0.1", port=self.port)
        self._open.start()

    def shut(self) -> None:
        """Nobody can connect any more."""
        if self._open:
            self._open.stop()
            self._open.loop.close()
            self._open = None

    async def handle_MAIL(self, _server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """aiosmtpd's hook for each sender."""
        self.connections[session.peer] += 1
        if self.is_closing or self.connections[session.peer] > self.most:
            return "421 4.3.2 try again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 go on"

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        """aiosmtpd's hook for each recipient."""
        name, _, _ = address.partition(".")
        if name in ("closing", "dropping", "tarpit"):
            self.refused[address] += 1
        if name == "dropping":
            server.transport.abort()
        if name == "closing":
            return "421 4.7.0 not to them"
        if name == "tarpit":
            await asyncio.sleep(self.delay)
        for name, reply in (("nobody", "550 5.1.1 no such mailbox"), ("full", "452 4.2.2 mailbox is full")):
            if address.startswith(f"{name}."):
                self.refused[address] += 1
                return reply
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """aiosmtpd's hook for each message."""
        if envelope.rcpt_tos[0].startswith("spam."):
            self.refused[envelope.rcpt_tos[0]] += 1
            return "554 5.7.1 looks like spam"
        kept = await super().handle_DATA(server, session, envelope)
        if envelope.rcpt_tos[0].startswith("slow."):
            await asyncio.sleep(self.delay)
        return kept

    def keys(self) -> Counter[str]:
        """How often each Message-ID came."""
        return Counter(str(letter.message["Message-ID"]) for letter in self.messages)

    def recipients(self) -> list[str]:
        """To whom a letter came, in order."""
        return sorted(letter.recipients[0] for letter in self.messages)
