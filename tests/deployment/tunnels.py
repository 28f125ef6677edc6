"""TLS in front of plain servers on loopback, and an HTTPS proxy that leads to them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from tests.deployment.cloud.certificates import Authority

_PUMPED_BYTES: Final = 65536


class Tunnels:
    """Runs them in a thread of its own; the proxy refuses every host that it was not given.

    `refused` holds the hosts that were asked for in vain.
    """

    def __init__(self, authority: Authority) -> None:
        self.refused: list[str] = []
        self._authority, self._hosts = authority, dict[str, int]()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tunnels", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_how: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def tls(self, host: str, plain: int, *, http2: bool = False) -> int:
        """Return a port of loopback that is taken for `host`, speaks TLS and leads to the port `plain`."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._pump_both(reader, writer, plain)

        context = self._authority.context_for(host)
        if http2:
            context.set_alpn_protocols(["h2"])
        return self._listen(serve, context)

    def proxy(self, hosts: Mapping[str, int]) -> int:
        """Return the port of an HTTPS proxy to `hosts`, each with the TLS port that is taken for it."""
        self._hosts = dict(hosts)
        return self._listen(self._connect, None)

    def _listen(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        context: ssl.SSLContext | None,
    ) -> int:
        started = asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        server = asyncio.run_coroutine_threadsafe(started, self._loop).result(10)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = request.split(" ", 2)
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or port != "443" or host not in self._hosts:
            self.refused.append(target)
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._pump_both(reader, writer, self._hosts[host])

    async def _pump_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                ways = [asyncio.ensure_future(way) for way in (_pump(reader, up_writer), _pump(up_reader, writer))]
                try:
                    # Once either side has ended nothing more is said here: TLS knows no half-closed connection.
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                up_writer.close()
        writer.close()

    async def _end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PUMPED_BYTES):
        writer.write(data)
        await writer.drain()
