"""Benchmark: encryption speed file to file, beside copying and other libraries."""

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import rivals

_MIB = 1024 * 1024
_BUFFER = 448 * 1024
_ROUNDS = 15
_MEMORY = Path("/dev/shm")  # noqa: S108


def run() -> Iterator[str]:
    """A line a size, a line a rival, a line for memory."""
    for size in (1 * _MIB, 4 * _MIB, 64 * _MIB, 256 * _MIB):
        works = {"copy": _copy, "ours": rivals.ours} | (rivals.RIVALS if size >= 4 * _MIB else {})
        best = _best(size, works)
        speed = {name: size / seconds / 1e9 for name, seconds in best.items()}
        yield (
            f"seal-stream-{size // _MIB}MiB: {speed['ours']:.2f} GB/s"
            f" (baseline {speed['copy']:.2f} GB/s copying, ratio {speed['ours'] / speed['copy']:.2f})"
        )
        for name in works.keys() & rivals.RIVALS.keys():
            yield (
                f"seal-stream-{size // _MIB}MiB-vs-{name}: {speed['ours']:.2f} GB/s"
                f" (baseline {speed[name]:.2f} GB/s {name}, ratio {speed['ours'] / speed[name]:.2f})"
            )
    small, large = _growth(1), _growth(1024)
    yield (
        f"seal-stream-memory: {large:.2f} MiB growth at 1 GiB"
        f" (baseline {small:.2f} MiB at 1 MiB, ratio {large / max(small, 0.01):.2f})"
    )


def _best(size: int, works: dict[str, Callable[[io.FileIO, io.FileIO], None]]) -> dict[str, float]:
    """The best of several rounds, taken in turn: what the machine does besides hits all alike."""
    rounds = _ROUNDS if size <= 64 * _MIB else 4
    # In memory, as all files of a Cloud Run container are: a disk writes back when it likes.
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        source = Path(folder, "content")
        source.write_bytes(os.urandom(size))
        times = [{name: _time(source, work) for name, work in works.items()} for _ in range(rounds)]
    return {name: min(taken[name] for taken in times) for name in works}


def _time(source: Path, work: Callable[[io.FileIO, io.FileIO], None]) -> float:
    with source.open("rb", buffering=0) as incoming, source.with_suffix(".out").open("wb", buffering=0) as outgoing:
        began = time.perf_counter()
        work(incoming, outgoing)
        return time.perf_counter() - began


def _copy(incoming: io.FileIO, outgoing: io.FileIO) -> None:
    buffer = bytearray(_BUFFER)
    while count := incoming.readinto(buffer):
        outgoing.write(memoryview(buffer)[:count])


def _growth(mebibytes: int) -> float:
    """MiB by which a fresh process grows while it seals that much, after a first small object."""
    code = f"from bench.seal_stream import _measure; print(_measure({mebibytes}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _measure(mebibytes: int) -> float:
    from astra.vault import cobblestone  # noqa: PLC0415

    with tempfile.TemporaryFile(buffering=0) as incoming, Path(os.devnull).open("wb", buffering=0) as outgoing:
        cobblestone.seal(io.BytesIO(b"x"), outgoing, bytes(32), cobblestone.Header(1), b"")
        for _ in range(mebibytes):
            incoming.write(bytes(_MIB))
        incoming.seek(0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cobblestone.seal(incoming, outgoing, bytes(32), cobblestone.Header(1), b"")
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
