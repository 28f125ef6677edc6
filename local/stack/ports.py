"""Ports of a stack, and who holds one that is taken."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import psutil  # type: ignore[import-untyped]

from local.stack import firebase_json

REDIS_PORT = ("ASTRA_LOCAL_REDIS_PORT", 6379)
SMTP_PORT = ("ASTRA_LOCAL_SMTP_PORT", 1025)
REPLICATE_PORT = ("ASTRA_LOCAL_REPLICATE_PORT", 8600)
WITNESS_PORT = ("ASTRA_LOCAL_WITNESS_PORT", 8700)
GOOGLE_PORT = ("ASTRA_LOCAL_GOOGLE_PORT", 8800)
WITNESS_BUCKET = "astra-witness"
#: Started whatever else is asked for.
ALWAYS = ("hub", "logging")
#: Above 1,024, those that Node.js fetches from in no case. Source: https://fetch.spec.whatwg.org/#port-blocking
NEVER_FETCHED = {
    *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566),
    *(6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
}


def needed(emulators: tuple[str, ...], offset: int) -> dict[str, int]:
    """The port of each server, by name: firebase.json's plus `offset`, and Redis's, SMTP's, Replicate's, the
    witness's and the stand-in's for Google.

    Raises:
        ValueError: one of ASTRA_LOCAL_REDIS_PORT, …_SMTP_PORT, …_REPLICATE_PORT, …_WITNESS_PORT and …_GOOGLE_PORT
            is not a number.
    """
    found = {
        name: port + offset for name, port in firebase_json.ports().items() if name.split()[0] in (*emulators, *ALWAYS)
    }
    ours = {"redis": REDIS_PORT, "smtp": SMTP_PORT, "replicate": REPLICATE_PORT, "witness": WITNESS_PORT}
    ours["google"] = GOOGLE_PORT
    for name, (variable, default) in ours.items():
        found[name] = int(os.environ.get(variable, default)) + offset
    return found


def first_busy(ports: dict[str, int]) -> str | None:
    """None when all are free, else one line about the first that is not."""
    for name, port in ports.items():
        if port in NEVER_FETCHED:
            return f"port {port} ({name}) can't be used: firebase-tools fetches from no such port; take another offset"
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as refusal:
                return f"port {port} ({name}) {_holder(port, refusal)}"
    return None


def _holder(port: int, refusal: OSError) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f"is in use by pid {connection.pid} ({name}): stop it (`kill {connection.pid}`) and start again"
    except psutil.Error:  # macOS shows other people's sockets to root only
        pass
    return f"can't be used ({refusal.strerror}): find its owner with `ss -ltnp` or `lsof -i :{port}` and stop it"
