"""Verification of the log: everything is read anew and compared with the witness.

The witness holds checkpoints that nobody can change. From the entries in Storage every root that they name is computed
again, then each tile, and each of Firestore's entries is compared with the one in the tree and with its own commitment.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

from google.cloud import firestore

from astra import tlog
from astra.runtime.platform import Platform
from astra.tlog import merkle
from astra.tlog.merkle import WIDTH
from astra.tlog.signed_note import BadNote, Checkpoint, Verifier, checkpoint_of, signed_by
from astra.tlog.tiles import Tampered, Tiles, path
from tlog.settings import LogSettings
from tlog.witness import Witness, verifiers

_LATE: Final = timedelta(hours=1)
_PAGE: Final = 1000


@dataclass
class Report:
    """What was found. The log is sound if there are no `problems`."""

    size: int = 0
    """Entries in the last witnessed checkpoint."""
    checkpoints: int = 0
    opened: int = 0
    lost: int = 0
    """Entries whose records went with a backup that was restored, as the log itself says: see `tlog_recover`."""
    pending: int = 0
    """Entries that have no place yet, or none in a checkpoint."""
    problems: list[str] = field(default_factory=list)


def verify(platform: Platform[LogSettings]) -> Report:
    """Go through the whole log. Never raises for what somebody has done to it: that is a problem in the report."""
    report, tiles = Report(), Tiles(platform.bucket)
    published = tiles.checkpoint()
    signed = _witnessed(platform.settings, report)
    if not signed:
        if published is not None:
            report.problems.append("a checkpoint is published that the witness does not remember")
        _check_documents(platform, report, [])
        return report
    latest = signed[-1][0]
    report.size, report.checkpoints = latest.size, len(signed)
    _check_published(published, [checkpoint for checkpoint, _ in signed], report)
    entries = check_tree(tiles, [checkpoint for checkpoint, _ in signed], report)
    announced = _check_documents(platform, report, entries)
    _check_keys(signed, announced, report)
    return report


def _witnessed(settings: LogSettings, report: Report) -> list[tuple[Checkpoint, Verifier]]:
    """All witnessed checkpoints with who signed each, the smallest first."""
    found: list[tuple[Checkpoint, Verifier]] = []
    keys = verifiers(settings)
    for note in Witness(settings).all():
        try:
            signer, checkpoint = signed_by(note, keys), checkpoint_of(note)
        except BadNote as reason:
            report.problems.append(f"the witness holds something that is no checkpoint of this log: {reason}")
            continue
        if checkpoint.origin != settings.log_origin:
            report.problems.append("the witness holds a checkpoint of another log")
        found.append((checkpoint, signer))
    return sorted(found, key=lambda pair: pair[0].size)


def _check_published(note: str | None, witnessed: list[Checkpoint], report: Report) -> None:
    if note is None:
        report.problems.append("no checkpoint is published, although the witness remembers some")
        return
    try:
        checkpoint = checkpoint_of(note)
    except BadNote as reason:
        report.problems.append(f"the published checkpoint is none: {reason}")
        return
    if checkpoint not in witnessed:
        report.problems.append("a checkpoint is published that the witness does not remember")
    elif checkpoint.size < witnessed[-1].size:
        report.problems.append("the published checkpoint is an old one: the witness remembers a longer log")


def check_tree(tiles: Tiles, witnessed: list[Checkpoint], report: Report) -> list[bytes]:
    """Compare entries and tiles with the witnessed roots, the smallest first. Answers the entries."""
    entries: list[bytes] = []
    try:
        entries.extend(tiles.entries(0, witnessed[-1].size))
    except Tampered as found:
        # It hides what comes after it: it is named, and Firestore is compared with what could be read.
        report.problems.append(str(found))
        return entries
    hashes = [merkle.leaf_hash(entry) for entry in entries]
    _check_roots(hashes, witnessed, report)
    report.problems += _tiles_unlike(tiles, hashes)
    return entries


def _check_roots(hashes: list[bytes], witnessed: list[Checkpoint], report: Report) -> None:
    peaks: list[tuple[int, bytes]] = []  # complete subtrees from left to right: height and hash
    size = 0
    for checkpoint in witnessed:
        for leaf in hashes[size : checkpoint.size]:
            height, node = 0, leaf
            while peaks and peaks[-1][0] == height:
                height, node = height + 1, merkle.node_hash(peaks.pop()[1], node)
            peaks.append((height, node))
        size = checkpoint.size
        root = peaks[-1][1] if peaks else merkle.fold(())
        for _, peak in reversed(peaks[:-1]):
            root = merkle.node_hash(peak, root)
        if root != checkpoint.root:
            report.problems.append(f"the first {size} entries are not those that were witnessed")


def _tiles_unlike(tiles: Tiles, hashes: list[bytes]) -> Iterator[str]:
    level = 0
    while hashes:
        for first in range(0, len(hashes), WIDTH):
            chunk = hashes[first : first + WIDTH]
            try:
                if tiles.read(level, first // WIDTH, len(chunk)) != b"".join(chunk):
                    yield f"{path(level, first // WIDTH, len(chunk))} is not of these entries"
            except Tampered as found:
                yield str(found)
        hashes = [merkle.fold(hashes[i : i + WIDTH]) for i in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        level += 1


def _check_documents(platform: Platform[LogSettings], report: Report, entries: list[bytes]) -> dict[str, int]:
    """Compare Firestore's entries with those in the tree. Answers the keys that were announced, with where."""
    announced: dict[str, int] = {}
    expected, late = 0, platform.clock() - _LATE
    missing, declared = set[int](), set[int]()
    for fields in documents(platform.db):
        index = fields["index"]
        if index is None or index >= report.size:
            report.pending += 1
            if fields["at"] < late.timestamp():
                report.problems.append("an entry has been waiting for more than an hour")
            continue
        if index < expected:
            report.problems.append(f"entry {index} is in Firestore twice")
            continue
        missing.update(range(expected, index))
        expected = index + 1
        if index < len(entries) and tlog.leaf(fields) != entries[index]:
            report.problems.append(f"entry {index} in Firestore is not the one in the tree")
        else:
            declared.update(*declared_lost(fields, index))
        match tlog.is_opened_by(fields):
            case None:
                report.problems.append(f"the record of entry {index} was removed")
            case True:
                report.opened += 1
                if fields["id"].partition(".")[0] != str((tlog.record(fields) or {}).get("subject", tlog.LOG)):
                    report.problems.append(f"entry {index} is kept under the name of somebody whom it does not concern")
                if fields["action"] == tlog.Action.KEY_ANNOUNCED:
                    announced.setdefault(str((tlog.record(fields) or {}).get("verifier")), index)
            case False:
                report.problems.append(f"the record of entry {index} is not the one that was committed to")
    missing.update(range(expected, report.size))
    report.lost = len(missing & declared)
    report.problems += [
        f"entries {gone.start} to {gone.stop - 1} are not in Firestore any more"
        for gone in ranges(sorted(missing - declared))
    ]
    return announced


def declared_lost(fields: dict[str, Any], index: int) -> Iterator[range]:
    """The places that an entry says are without a record. It can speak of such alone as were there before it."""
    if fields["action"] == tlog.Action.RECORDS_LOST and tlog.is_opened_by(fields):
        for first, last in (tlog.record(fields) or {})["lost"]:
            yield range(first, min(last + 1, index))


def ranges(places: Iterable[int]) -> Iterator[range]:
    """Places in their order as ranges without a gap."""
    begun: range | None = None
    for place in places:
        if begun is None or place != begun.stop:
            if begun is not None:
                yield begun
            begun = range(place, place)
        begun = range(begun.start, place + 1)
    if begun is not None:
        yield begun


def documents(db: firestore.Client, first: int | None = None) -> Iterator[dict[str, Any]]:
    """The fields of all entries in their order, those without a place first; or of those from place `first` on."""
    ordered = db.collection(tlog.COMMITMENTS).order_by("index").order_by("__name__")
    query = ordered if first is None else ordered.start_at([first])
    while True:
        page = query.limit(_PAGE).get()
        yield from ({**(row.to_dict() or {}), "id": row.id} for row in page)
        if len(page) < _PAGE:
            return
        query = ordered.start_after(page[-1])


def _check_keys(signed: list[tuple[Checkpoint, Verifier]], announced: dict[str, int], report: Report) -> None:
    for (before, old), (after, new) in pairwise(signed):
        if old != new and announced.get(str(new), before.size) >= before.size:
            report.problems.append(f"from size {after.size} on another key signs, which the old one did not announce")
