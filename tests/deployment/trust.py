"""A throw-away certificate authority, and TLS in front of plain servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_DAY: Final = timedelta(days=1)
_PUMPED_BYTES: Final = 65536


class Authority:
    """Issues one certificate for all `hosts`; `bundle` is the file by which a client trusts it."""

    def __init__(self, folder: Path, hosts: Iterable[str]) -> None:
        key, self.bundle, self._leaf = ec.generate_private_key(ec.SECP256R1()), folder / "ca.pem", folder / "leaf.pem"
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "throw-away CA")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        authority = _builder(name, name, key.public_key(), path_length=0).add_extension(usage, critical=True)
        self.bundle.write_bytes(authority.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        leaf_key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        leaf = (
            _builder(x509.Name([]), name, leaf_key.public_key(), path_length=None)
            .add_extension(names, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        pem = leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._leaf.write_bytes(pem + leaf.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def server_context(self, protocol: str) -> ssl.SSLContext:
        """Return what a server needs that speaks `protocol` (as ALPN names it) under the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._leaf)
        context.set_alpn_protocols([protocol])
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, path_length: int | None
) -> x509.CertificateBuilder:
    now, is_authority = datetime.now(UTC), path_length is not None
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), now - _DAY, now + _DAY)
        .add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


class Tunnels:
    """TLS in front of plain ports, and an HTTPS proxy that leads to them: it refuses every host that it was not given.

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

    def tls(self, plain: int, protocol: str = "http/1.1") -> int:
        """Return a port of loopback that speaks TLS and leads to the port `plain`."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._pump_both(reader, writer, plain)

        return self._listen(serve, self._authority.server_context(protocol))

    def proxy(self, hosts: Mapping[str, int]) -> int:
        """Return the port of an HTTPS proxy to `hosts`, each with the TLS port that plays it."""
        self._hosts = dict(hosts)
        return self._listen(self._connect, None)

    def _listen(self, serve: object, context: ssl.SSLContext | None) -> int:
        started = asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)  # type: ignore[arg-type]
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
