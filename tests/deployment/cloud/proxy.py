"""HTTPS forward proxy: answers for Google's hosts itself, and relays every other host's bytes untouched.

A client trusts the proxy's own CA (`NODE_EXTRA_CA_CERTS`, `CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE`) and is told of the
proxy by `HTTPS_PROXY`. No address, token or service name of the client changes.
"""

from __future__ import annotations

import re
import selectors
import socket
import socketserver
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Final, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from tests.deployment.cloud.certificates import Authority

#: Hosts that the stand-in answers for, whether it knows them or not: no request of a rehearsal reaches Google.
GOOGLE: Final = re.compile(
    r"(.+\.)?(googleapis\.com|google\.com|google-analytics\.com|cloudfunctions\.net|run\.app|firebaseio\.com"
    r"|pkg\.dev|gcr\.io|firebasestorage\.app|appspot\.com|google\.internal)"
)
_CONNECT: Final = re.compile(rb"CONNECT ([^ :]+):(\d+) HTTP/1\.[01]\r\n")
CONNECT_TIMEOUT: Final = 30


class Proxy:
    """A proxy on a free port of loopback in front of the WSGI application `google`."""

    def __init__(self, authority: Authority, google: WSGIApplication) -> None:
        self.authority = authority
        #: Hosts whose bytes were relayed, so that a test can see what else was asked.
        self.relayed: set[str] = set()
        #: The threads that answer for Google, one a connection.
        self.answering: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        # Never serves by itself: it makes handlers for connections that are decrypted here.
        self._http: BaseWSGIServer = make_server("127.0.0.1", 0, google, threaded=True, request_handler=_Quiet)
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.proxy = self

    @property
    def url(self) -> str:
        """What `HTTPS_PROXY` must be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self, client: ssl.SSLSocket, address: tuple[str, int]) -> None:
        """Let the application answer all requests of one decrypted connection."""
        self._http.finish_request(client, address)

    def rest(self) -> None:
        """Wait until what clients that have ended asked for before is answered. No other client may be running."""
        for thread in list(self.answering):
            thread.join()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_how: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: Proxy


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket
    server: _Server

    def handle(self) -> None:
        self.request.settimeout(CONNECT_TIMEOUT)
        target = _CONNECT.match(_head(self.request))
        if target is None:
            self.request.sendall(b"HTTP/1.1 501 Only CONNECT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        host, port = target[1].decode().lower(), int(target[2])
        if GOOGLE.fullmatch(host):
            self._answer(host)
        else:
            self.server.proxy.relayed.add(host)
            self._relay(host, port)

    def _answer(self, host: str) -> None:
        self.server.proxy.answering.add(threading.current_thread())
        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        context = self.server.proxy.authority.context_for(host)
        try:
            with context.wrap_socket(self.request, server_side=True) as client:
                client.settimeout(None)
                self.server.proxy.serve(client, self.client_address)
        except (ssl.SSLError, ConnectionError, TimeoutError):
            return  # the client went away, as one that is killed does

    def _relay(self, host: str, port: int) -> None:
        try:
            there = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT)
        except OSError:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with there, selectors.DefaultSelector() as ready:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.request: there, there: self.request}
            for end in ends:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    ends[key.fileobj].sendall(data)  # type: ignore[index]


def _head(client: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < 65536:
        # One byte at a time: what follows the head is TLS and belongs to another reader.
        byte = client.recv(1)
        if not byte:
            break
        head += byte
    return head


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: the stand-in keeps a record of its own."""
