"""How fast content is sealed, file to file, against the same loop that only copies."""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from astra import cobblestone
from astra.cobblestone import Header

_MIB = 1024 * 1024
_BUFFER = 256 * 1024
_ROUNDS = 7


def run() -> Iterator[str]:
    """One line a size."""
    for size in (4 * _MIB, 64 * _MIB):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "content")
            source.write_bytes(os.urandom(size))
            # The best of several, taken in turn: what the machine does besides hits both alike.
            copies, seals = zip(*((_time(source, _copy), _time(source, _seal)) for _ in range(_ROUNDS)), strict=True)
        copied, sealed = size / min(copies) / 1e9, size / min(seals) / 1e9
        yield (
            f"seal-stream-{size // _MIB}MiB: {sealed:.2f} GB/s"
            f" (baseline {copied:.2f} GB/s copying, ratio {sealed / copied:.2f})"
        )


def _time(source: Path, work: object) -> float:
    with source.open("rb", buffering=0) as incoming, source.with_suffix(".out").open("wb", buffering=0) as outgoing:
        began = time.perf_counter()
        work(incoming, outgoing)  # type: ignore[operator]
        return time.perf_counter() - began


def _copy(incoming: io.FileIO, outgoing: io.FileIO) -> None:
    buffer = bytearray(_BUFFER)
    while count := incoming.readinto(buffer):
        outgoing.write(memoryview(buffer)[:count])


def _seal(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    cobblestone.seal(incoming, outgoing, bytes(32), Header(1), b"bench")
