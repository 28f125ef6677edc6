"""Recovery of the log after Firestore was restored from a backup.

The tree itself is not lost: its tiles and entries lie in Storage, and their root is the witnessed one, or this refuses.
What is lost are records, of which the tree holds commitments alone. Why it is sound to go on:
- Nothing leaves the tree. It goes on from the last witnessed checkpoint, so every receipt stays good.
- An entry of Firestore that is in the tree gets its place back, found by its own bytes, which hold a commitment to a
  random nonce. One that the tree does not know, because it came after the restore, is pending again.
- That places are without a record from now on is itself an entry. `astra tlog verify` believes it, and counts
  them.
- What no backup explains is refused: an entry that had a place before the backup was made, and is missing or another.

The sequencer is stopped first, so that it assigns nothing meanwhile, and goes on in the transaction that logs the loss.
A crash in between leaves it stopped; doing it again goes on. If a run had written tiles that the witness has never
seen, the sequencer finds them and names the first: these files may be removed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from google.cloud import firestore

from astra import jobs, tlog
from astra.runtime.clock import iso
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.tlog.signed_note import Checkpoint, checkpoint_of, signed_by
from astra.tlog.tiles import Tampered, Tiles
from cli import tlog_verify
from tlog.settings import LogSettings
from tlog.witness import Witness, verifiers

_BATCH: Final = 400


@dataclass(frozen=True)
class Recovery:
    """What is to be done. `places` are ids of entries with the place that each is to have, None for pending."""

    checkpoint: Checkpoint
    lost: tuple[range, ...]
    """Places whose records are gone, but for those that were known to be."""
    places: dict[str, int | None]

    @property
    def records_lost(self) -> int:
        """How many records are gone."""
        return sum(map(len, self.lost))


def plan(platform: Platform[LogSettings]) -> Recovery:
    """What there is to recover. Raises LookupError if there is nothing, Tampered if no backup explains it."""
    checkpoint = _witnessed(platform.settings)
    report = tlog_verify.Report()
    entries = tlog_verify.check_tree(Tiles(platform.bucket), [checkpoint], report)
    if report.problems:
        raise Tampered(f"the tree in Storage is not the witnessed one: {report.problems[0]}")
    job = platform.db.document("rounds/log").get().to_dict() or {"size": 0, "published": 0}
    place_of = {entry: place for place, entry in enumerate(entries)}
    places: dict[str, int | None] = {}
    missing, declared = set(range(checkpoint.size)), set[int]()
    for fields in tlog_verify.documents(platform.db):
        held, place = fields["index"], place_of.get(tlog.leaf(fields))
        # An entry that has no place yet will have one after all that is in the tree.
        declared.update(*tlog_verify.declared_lost(fields, checkpoint.size if place is None else place))
        if place is not None:
            missing.discard(place)
        elif held is not None and held < job["published"]:
            raise Tampered(f"entry {held} in Firestore is not the one in the tree, and was there before any backup")
        if held != place:
            places[fields["id"]] = place
    if explained := sorted(place for place in missing - declared if place < job["published"]):
        raise Tampered(f"entry {explained[0]} is not in Firestore any more, and no backup explains it")
    lost = tuple(tlog_verify.ranges(sorted(missing - declared)))
    if not lost and job["size"] >= checkpoint.size and not any(place is not None for place in places.values()):
        raise LookupError("the log in Firestore is not behind its witness: there is nothing to recover")
    return Recovery(checkpoint, lost, places)


def recover(platform: Platform[LogSettings], recovery: Recovery) -> None:
    """Do it. Again is as good as once."""
    db = platform.db
    transact(db, lambda transaction: _stop(transaction, platform))
    for batch_of in _batches(recovery.places.items()):
        batch = db.batch()
        for entry_id, place in batch_of:
            batch.update(tlog.reference(db, entry_id), {"index": place})
        batch.commit()
    transact(db, lambda transaction: _go_on(transaction, platform, recovery))


def _witnessed(settings: LogSettings) -> Checkpoint:
    note = Witness(settings).latest()
    if note is None:
        raise LookupError("the witness remembers nothing of this log")
    signed_by(note, verifiers(settings))
    return checkpoint_of(note)


def _stop(transaction: firestore.Transaction, platform: Platform[LogSettings]) -> None:
    job = platform.db.document("rounds/log")
    fields = job.get(transaction=transaction).to_dict() or jobs.opened(platform.clock(), size=0, published=0)
    transaction.set(job, fields | jobs.STOPPED | {"fence": fields["fence"] + 1})


def _go_on(transaction: firestore.Transaction, platform: Platform[LogSettings], recovery: Recovery) -> None:
    now, size, job = platform.clock(), recovery.checkpoint.size, platform.db.document("rounds/log")
    record: dict[str, Any] = {
        "size": size,
        "root": recovery.checkpoint.root.hex(),
        "lost": [[lost.start, lost.stop - 1] for lost in recovery.lost],
        "at": iso(now),
    }
    tlog.append(transaction, platform.db, tlog.Entry(tlog.Action.RECORDS_LOST, record, now))
    transaction.update(job, jobs.revived(now) | {"size": size, "published": size})


def _batches(items: Iterable[tuple[str, int | None]]) -> Iterator[list[tuple[str, int | None]]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
