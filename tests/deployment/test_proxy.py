"""The proxy answers for Google, and relays everything else untouched."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import httpx

from tests.deployment.cloud.certificates import Authority
from tests.deployment.cloud.google import Google
from tests.deployment.cloud.proxy import Proxy
from tests.deployment.cloud.state import Cloud

if TYPE_CHECKING:
    from pathlib import Path


def test_google_is_answered_for_with_a_certificate_of_the_proxys_own_ca(tmp_path: Path) -> None:
    cloud = Cloud()
    google = Google(cloud)
    with Proxy(Authority(tmp_path), google) as proxy:
        trusted = proxy.authority.client_context()
        with httpx.Client(proxy=proxy.url, verify=trusted, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {cloud.token_for(cloud.owner)}"}
            url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{cloud.project}"
            assert client.get(url, headers=headers).json()["projectNumber"] == cloud.number
            assert client.get(url).status_code == 401
            assert client.get("https://a.b.unheard-of.google.com/").status_code == 501
    assert google.unknown == ["GET a.b.unheard-of.google.com/"]
    assert proxy.relayed == set()


def test_other_hosts_get_the_very_bytes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, Proxy(Authority(tmp_path), Google(Cloud())) as proxy:
        threading.Thread(target=_echo, args=(other,), daemon=True).start()
        port = int(proxy.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(f"CONNECT localhost:{other.getsockname()[1]} HTTP/1.1\r\n\r\n".encode())
            assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
            client.sendall(b"\x16\x03\x01 no TLS of ours")
            assert client.recv(1024) == b"\x16\x03\x01 no TLS of ours"
    assert proxy.relayed == {"localhost"}


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(1024):
            connection.sendall(data)
