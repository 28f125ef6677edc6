"""Benchmark: the transparency log, from pending entries to verification."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from bench import OFFSET
from bench.child import measured, say
from local.stack.stack import Stack

_ENTRIES = 10_000
_WHOLE = 100_000
_BATCH = 400
_ROUNDS = 3
_VERIFICATIONS = 300
_MILLION = 1_000_000
#: What a receipt may take at a million entries, in bytes.
_RECEIPT = 1536


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore", "storage"), offset=OFFSET, timer=None) as stack:
        yield from measured(stack, "governance", "bench.ledger")


class Bench:
    """A log with a name of its own in the project of the stack."""

    def __init__(self, name: str) -> None:
        from astra.runtime.platform import Platform  # noqa: PLC0415  (the child's imports: the environment is the stack's)
        from tlog.settings import LogSettings  # noqa: PLC0415

        self.platform: Any = Platform(LogSettings)
        settings = self.platform.settings.model_copy(update={"log_origin": f"bench.example/{name}"})
        self.platform.__dict__["settings"] = settings

    def append(self, entries: int) -> None:
        """Pending entries, a full batch at a time."""
        from astra import tlog  # noqa: PLC0415

        for first in range(0, entries, _BATCH):
            batch = self.platform.db.batch()
            for number in range(first, min(first + _BATCH, entries)):
                entry = tlog.Entry(tlog.Action.CONSENT_GIVEN, {"number": number}, self.platform.clock())
                tlog.append(batch, self.platform.db, entry)
            batch.commit()

    def sequence(self) -> None:
        """All that is pending, to its checkpoint."""
        from tlog import sequencer  # noqa: PLC0415

        sequencer.sequence(self.platform, timedelta(hours=1))


def append() -> Iterator[str]:
    """Pending, sequenced, witnessed; what leaves for Firestore is counted on the way. The baseline writes as many
    documents and numbers them, in equal batches, and makes no tree of them."""
    from bench.wire import Meter  # noqa: PLC0415

    meter, bench = Meter(), Bench("append")
    bench.append(_BATCH)
    bench.sequence()  # connections and imports
    wait(bench)
    before = (meter.reads, meter.writes)
    ours = seconds(lambda: (bench.append(_ENTRIES), bench.sequence()))
    reads, writes = meter.reads - before[0], meter.writes - before[1]
    job = bench.platform.db.document("rounds/log").get().to_dict()
    assert job["published"] == _ENTRIES + _BATCH, job
    bare = seconds(lambda: numbered(bench.platform.db))
    rate, base = _ENTRIES / ours, _ENTRIES / bare
    yield f"tlog-append-10k: {rate:.0f} entries/s (baseline {base:.0f} documents/s bare, ratio {rate / base:.2f})"
    for what, count, bound in (("reads", reads, 1.1), ("writes", writes, 2.1)):
        each = count / _ENTRIES
        yield f"tlog-append-{what}: {each:.3f} {what} an entry (baseline {bound} at most, ratio {each / bound:.2f})"


def numbered(db: Any) -> None:
    """Write documents, ask for those without a number, number them."""
    from google.cloud import firestore  # noqa: PLC0415

    rows = db.collection("bare")
    for first in range(0, _ENTRIES, _BATCH):
        batch = db.batch()
        for number in range(first, min(first + _BATCH, _ENTRIES)):
            batch.create(rows.document(), {"at": number, "index": None, "record": "x" * 300})
        batch.commit()
    done = 0
    while page := list(
        rows.where(filter=firestore.FieldFilter("index", "==", None)).order_by("at").limit(_BATCH).get()
    ):
        batch = db.batch()
        for index, row in enumerate(page, done):
            batch.update(row.reference, {"index": index})
        batch.commit()
        done += len(page)


def wait(bench: Bench) -> None:
    """Until the next checkpoint is due."""
    job = bench.platform.db.document("rounds/log")
    job.update({"nextRunAt": bench.platform.clock()})


def receipts() -> Iterator[str]:
    """One receipt by verify.py, and how large one is at a million entries: made of a tree of that size in memory."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    import verify  # noqa: PLC0415
    from astra import tlog  # noqa: PLC0415
    from astra.tlog import merkle  # noqa: PLC0415
    from astra.tlog import receipts as tlog_receipts  # noqa: PLC0415
    from astra.tlog.signed_note import Checkpoint, Signer  # noqa: PLC0415

    record, nonce, index = {"number": 1}, bytes(range(32)), _MILLION // 2  # from there the way up is longest
    fields: dict[str, Any] = {
        "action": tlog.Action.ERASURE_CERTIFIED.value,
        "at": 1_764_000_000,
        "actor": "5" * 64,
        "commitment": tlog.commitment(nonce, record),
        "nonce": base64.b64encode(nonce).decode(),
        "index": index,
    }
    hashes = [number.to_bytes(32, "big") for number in range(_MILLION)]
    hashes[index] = merkle.leaf_hash(tlog.leaf(fields))
    levels = [hashes]
    while len(levels[-1]) >= merkle.WIDTH:
        below = levels[-1]
        levels.append([merkle.fold(below[i : i + 256]) for i in range(0, len(below) - 255, 256)])
    tree = merkle.Tree(_MILLION, lambda level, tile, wide: b"".join(levels[level][tile * 256 : tile * 256 + wide]))
    signer = Signer.of("astra-engineering.co/log", bytes(32))
    note = signer.sign(str(Checkpoint(signer.name, _MILLION, tree.root())))
    receipt, keys = tlog_receipts.text(fields, tree.inclusion(index), note), [str(signer.verifier)]
    assert verify.verify(record, receipt, keys)["index"] == index
    public, text = (
        Ed25519PublicKey.from_public_bytes(signer.verifier.public),
        note.rpartition("\n\n")[0].encode() + b"\n",
    )
    signature = signer.key.sign(text)
    ours = best(lambda: verify.verify(record, receipt, keys))
    base = best(lambda: public.verify(signature, text))
    yield (
        f"tlog-verify: {ours * 1e6:.0f} µs a receipt at a million entries"
        f" (baseline {base * 1e6:.0f} µs its signature alone, ratio {ours / base:.2f})"
    )
    size = len(receipt.encode())
    yield f"tlog-receipt-1M: {size} bytes (baseline {_RECEIPT} at most, ratio {size / _RECEIPT:.2f})"


def whole() -> Iterator[str]:
    """All entries and tiles of a log against the witness. The baseline hashes as many entries into a root in memory."""
    from astra.tlog import merkle  # noqa: PLC0415
    from astra.tlog.signed_note import Checkpoint  # noqa: PLC0415
    from astra.tlog.tiles import Tiles  # noqa: PLC0415
    from cli import tlog_verify  # noqa: PLC0415

    bench = Bench("whole")
    entries = [json.dumps({"commitment": f"{number:064x}", "at": 1_764_000_000}).encode() for number in range(_WHOLE)]
    for blob in bench.platform.bucket.list_blobs(prefix="log/"):
        blob.delete()
    root = Tiles(bench.platform.bucket).extend(Checkpoint("", 0, merkle.fold(())), entries)
    checkpoint, report = Checkpoint("", _WHOLE, root), tlog_verify.Report()

    def check() -> None:
        tiles = Tiles(bench.platform.bucket)
        tlog_verify.check_tree(tiles, [checkpoint], report)
        assert not report.problems, report.problems

    ours, base = seconds(check), seconds(lambda: merkle.fold([merkle.leaf_hash(entry) for entry in entries]))
    yield f"tlog-verify-100k: {ours:.2f} s (baseline {base:.2f} s hashing alone, ratio {ours / base:.2f})"


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def best(work: Callable[[], Any]) -> float:
    """Seconds of one run, in the best of several rounds."""
    return min(seconds(lambda: [work() for _ in range(_VERIFICATIONS)]) for _ in range(_ROUNDS)) / _VERIFICATIONS


if __name__ == "__main__":
    for part in (append, receipts, whole):
        for line in part():
            say(line)
