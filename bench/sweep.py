"""Benchmark: the retention sweep among ever more documents that are not due.

`python -m bench.sweep 10000 100000` takes other sizes than the usual ones.
"""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from bench import OFFSET
from bench.child import measured, say
from local.stack.stack import Stack

#: How many are stored. In the emulator, which has no index, a query costs as much time as there is stored, whatever it
#: reads: with a million the whole takes some four minutes.
_SIZES = (10_000, 100_000, 1_000_000)
_PATIENCE = 100_000
"""With more, one round will do, and a full scan is reckoned from the last one."""
_DUE = 1_000
_BATCH = 500
_THREADS = 4
_ROUNDS = 3
_LIFE = timedelta(days=90)


def run(sizes: tuple[int, ...] = _SIZES) -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore", "storage"), offset=OFFSET, timer=None) as stack:
        yield from measured(stack, "retention", "bench.sweep", "--child", *map(str, sizes))


class Rows:
    """Rows of the usage log, each somebody else's, written as fast as the emulator takes them."""

    def __init__(self, db: Any) -> None:
        from google.cloud.firestore_v1.types import Write  # noqa: PLC0415  (the child's imports)

        self._db, self._write, self._number = db, Write.pb(), 0

    def add(self, count: int, at: datetime) -> None:
        """So many whose life began `at` that time, a millisecond apart."""
        pages = [range(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH)]
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(lambda page: self._commit(page, at), pages))
        self._number += count

    def _commit(self, page: range, at: datetime) -> None:
        writes = []
        for number in page:
            write = self._write()
            row = f"{self._number + number:07}"
            write.update.name = f"{self._db._database_string}/documents/users/u{row}/events/e{row}"
            for name, moment in (("at", at), ("createdAt", at), ("expireAt", at + _LIFE)):
                write.update.fields[name].timestamp_value.FromDatetime(moment + timedelta(milliseconds=number))
            write.update.fields["event"].string_value = "page.open"
            writes.append(write)
        request = {"database": self._db._database_string, "writes": writes}
        self._db._firestore_api.commit(request=request, metadata=self._db._rpc_metadata)


def measure(sizes: list[int]) -> Iterator[str]:
    """Grow from size to size; at each, sweep as many that are due."""
    from astra.runtime.platform import Platform  # noqa: PLC0415
    from bench.wire import Meter  # noqa: PLC0415
    from retention import schedule  # noqa: PLC0415
    from retention.settings import RetentionSettings  # noqa: PLC0415

    meter, platform = Meter(), Platform(RetentionSettings)
    rows, now, stored = Rows(platform.db), platform.clock(), 0

    def swept() -> tuple[float, int]:
        before = meter.reads
        return seconds(lambda: schedule.sweep(platform, timedelta(hours=1))), meter.reads - before

    swept()  # connections and imports; and there is nothing to stamp anew
    _, constant = swept()
    yield f"sweep-constant: {constant} reads with nothing due (baseline 60 at most, ratio {constant / 60:.2f})"
    first, scan, scanned_rows = 0, 0.0, 0
    for size in sorted(sizes):
        filled = seconds(lambda: rows.add(size - stored, now))
        stored = size
        print(f"{size} rows are stored after {filled:.0f} s", file=sys.stderr)
        best, reads = float("inf"), 0
        for _ in range(_ROUNDS if size <= _PATIENCE else 1):
            rows.add(_DUE, now - _LIFE - timedelta(days=1))
            taken, reads = swept()
            best = min(best, taken)
        first = first or reads
        yield (
            f"sweep-reads-{size // 1000}k: {reads} reads for {_DUE} due"
            f" (baseline {stored} reads of a full scan, ratio {reads / stored:.4f})"
        )
        if size <= _PATIENCE or not scanned_rows:
            scan = seconds(lambda: scanned(platform))
        else:
            scan *= stored / scanned_rows
        scanned_rows = stored
        yield (
            f"sweep-time-{size // 1000}k: {best:.2f} s for {_DUE} due"
            f" (baseline {scan:.2f} s of a full scan{', extrapolated' * (size > _PATIENCE)}, ratio {best / scan:.3f})"
        )
        yield f"sweep-spread-{size // 1000}k: {reads} reads (baseline {first} of the least, ratio {reads / first:.4f})"
        each = (reads - constant) / _DUE
        yield f"sweep-each-{size // 1000}k: {each:.3f} reads a due row (baseline 1.1 at most, ratio {each / 1.1:.2f})"


def scanned(platform: Any) -> int:
    """Look at every row whether it is due, as a sweep without an index would; nothing is, so nothing is deleted."""
    from astra.runtime.documents import read  # noqa: PLC0415

    now = platform.clock()
    rows = platform.db.collection_group("events").select(["expireAt"])
    return sum(read(rows, lambda row: row.get("expireAt") <= now))


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["--child"]:
        for line in measure([int(word) for word in words[1:]]):
            say(line)
    else:
        for line in run(tuple(int(word) for word in words) or _SIZES):
            print(f"bench {line}", flush=True)
