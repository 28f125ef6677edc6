"""The sequencer: indexes pending entries, grows the tree, signs and witnesses it.

    rounds/log   a job (see `jobs`): size, entries that have a place; published, those in the last checkpoint

Why no entry is lost, skipped or there twice, wherever it stops:
- A batch gets its places in the checkpoint's own transaction, after fences were compared: of two sequencers one does,
  and `size` and the places change together or not at all. From then on the order is decided, and all that follows is
  a function of it that may be repeated.
- Tiles, checkpoint and witness come in that order, each of them written once and compared when it is there already.
  What broke off is done again from the last witnessed checkpoint, not from what was noted here.

Why history can't be rewritten through it: the last witnessed checkpoint is the beginning of all. The tiles that it
goes on from must have its root, the new tree must be proved consistent with it, and Firestore must know neither fewer
entries nor a longer tree than the witness. Otherwise it raises, signs nothing, and the job ends up stuck before staff.
A new key signs only once the old one has signed its announcement.
"""

import itertools
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from astra import jobs, tlog
from astra.jobs import Atomic, Pause, Worker
from astra.runtime import log
from astra.runtime.log import Inconsistent
from astra.runtime.platform import Platform
from astra.tlog import merkle
from astra.tlog.signed_note import Checkpoint, Signer, checkpoint_of, signed_by
from astra.tlog.tiles import Tampered, Tiles

from tlog.settings import LogSettings
from tlog.witness import Witness, verifiers

_MAX_BATCH_ENTRIES: Final = 400
"""Entries of one transaction: it may write 500 documents."""
_MAX_WAITING_ENTRIES: Final = 16_384
"""So many entries may wait for a checkpoint while others still come."""
_RESTORED: Final = "if Firestore was restored from a backup, `astra tlog recover`"
_LEAF: Final = ("action", "at", "actor", "commitment", "index")


class Refused(Inconsistent):
    """The log is not what the witness remembers. Nothing was signed."""


def reference(db: firestore.Client) -> firestore.DocumentReference:
    """The sequencer's job."""
    return db.document("rounds/log")


def sequence(platform: Platform[LogSettings], budget: timedelta) -> None:
    """Sequence and publish what is pending, unless another sequencer is at it."""
    job = reference(platform.db)
    if not job.get(["state"]).exists:
        with suppress(AlreadyExists):
            job.create(jobs.opened(platform.clock(), size=0, published=0))
    Worker(platform.db, platform.clock, platform.settings.retry_delay).run(job, Sequencer(platform).page, budget)


class Sequencer:
    """One run's pages. It lives no longer than that, because it remembers the entries that it gave places to."""

    def __init__(self, platform: Platform[LogSettings]) -> None:
        self._platform = platform
        self._settings = platform.settings
        self._signer = Signer.of(self._settings.log_origin, self._settings.log_key.get_secret_value())
        self._verifiers = verifiers(self._settings)
        self._witness = Witness(self._settings)
        self._leaves: dict[int, bytes] = {}

    def page(self, job: dict[str, Any]) -> dict[str, Any] | Pause | Atomic:
        """Give a batch its places, or publish, or wait."""
        waiting = job["size"] - job["published"]
        if waiting < _MAX_WAITING_ENTRIES and (pending := self._pending()):
            return self._assign(pending, job["size"])
        if waiting:
            return self._publish(job["published"], job["size"])
        return Pause({}, self._next())

    def _next(self) -> datetime:
        return self._platform.clock() + timedelta(seconds=self._settings.checkpoint_seconds)

    def _pending(self) -> "list[firestore.DocumentSnapshot[Any]]":
        # By state, not from where the last query ended; the oldest first, so that none starves.
        entries = self._platform.db.collection(tlog.COMMITMENTS)
        query = entries.where(filter=firestore.FieldFilter("index", "==", None)).order_by("at").select(_LEAF)
        return query.limit(_MAX_BATCH_ENTRIES).get()

    def _assign(self, pending: "list[firestore.DocumentSnapshot[Any]]", size: int) -> Atomic:
        ordered = sorted(pending, key=lambda entry: (entry.get("at"), entry.id))

        def write(transaction: firestore.Transaction, _: object) -> dict[str, Any]:
            for index, entry in enumerate(ordered, size):
                transaction.update(entry.reference, {"index": index})
                self._leaves[index] = tlog.leaf(entry.to_dict() or {})
            return {"size": size + len(ordered)}

        return Atomic(write)

    def _publish(self, published: int, size: int) -> dict[str, Any] | Pause:
        old = self._witnessed(published, size)
        if old.size < size:
            tiles = Tiles(self._platform.bucket)
            root = tiles.extend(old, self._assigned(old.size, size))
            if old.size and not merkle.proves_consistency(
                old.size, size, tiles.tree(size).consistency(old.size), old.root, root
            ):
                raise Refused("the new tree is not consistent with the witnessed one")
            note = self._signer.sign(str(Checkpoint(self._settings.log_origin, size, root)))
            self._witness.post(note)
        else:
            note = self._witness.latest() or ""
        Tiles(self._platform.bucket).publish(note)
        log.write(log.Event.LOG_PUBLISHED, size=size, entries=size - published)
        self._leaves.clear()
        if size - published >= _MAX_WAITING_ENTRIES:
            return {"published": size}
        # Whatever has come meanwhile is in the next checkpoint: a trickle must not make one for each entry.
        return Pause({"published": size}, self._next())

    def _witnessed(self, published: int, size: int) -> Checkpoint:
        """The last witnessed checkpoint, which all must go on from. Raises Inconsistent."""
        note = self._witness.latest()
        if note is None:
            if published:
                raise Refused("the witness remembers nothing of a log that has been published")
            return Checkpoint(self._settings.log_origin, 0, merkle.fold(()))
        signer, last = signed_by(note, self._verifiers), checkpoint_of(note)
        if last.origin != self._settings.log_origin:
            raise Refused("the witness's checkpoint is of another log")
        # Beyond `published` it may be: then a run broke off after the witness had answered.
        if not published <= last.size <= size:
            raise Refused(f"the witness remembers a longer log, or a shorter one, than is here: {_RESTORED}")
        if last.size > published and self._assigned(published, last.size) != self._in_tree(published, last.size):
            raise Refused(f"the witness remembers other entries than have their places here: {_RESTORED}")
        if signer != self._signer.verifier:
            self._refuse_unannounced(last)
        return last

    def _in_tree(self, first: int, size: int) -> list[bytes]:
        entries = Tiles(self._platform.bucket).entries(first, size)
        return list(itertools.islice(entries, first % merkle.WIDTH, None))

    def _refuse_unannounced(self, last: Checkpoint) -> None:
        """Raise Refused unless the key in use was announced in the tree that an earlier key signed last."""
        name = f"{tlog.LOG}.{self._signer.verifier.key_id.hex()}"
        fields = tlog.reference(self._platform.db, name).get().to_dict()
        index = (fields or {}).get("index")
        if fields is None or index is None or index >= last.size:
            raise Refused("the key in use was not announced: `astra tlog announce` with the old key first")
        proof = Tiles(self._platform.bucket).tree(last.size).inclusion(index)
        leaf = merkle.leaf_hash(tlog.leaf(fields))
        announced = tlog.is_opened_by(fields) and tlog.record(fields) == {"verifier": str(self._signer.verifier)}
        if not announced or not merkle.proves_inclusion(leaf, index, last.size, proof, last.root):
            raise Refused("the announcement of the key in use is not what was logged")

    def _assigned(self, first: int, size: int) -> list[bytes]:
        """The entries that have these places: as remembered, or as read anew. Raises Tampered if one is missing."""
        if all(index in self._leaves for index in range(first, size)):
            return [self._leaves[index] for index in range(first, size)]
        entries = self._platform.db.collection(tlog.COMMITMENTS).order_by("index").select(_LEAF)
        rows: Iterable[firestore.DocumentSnapshot[Any]] = (
            row
            for start in range(first, size, _MAX_BATCH_ENTRIES)
            for row in entries.start_at({"index": start})
            .end_before({"index": min(start + _MAX_BATCH_ENTRIES, size)})
            .get()
        )
        found = []
        for expected, row in itertools.zip_longest(range(first, size), rows):
            if expected is None or row is None or row.get("index") != expected:
                raise Tampered("an entry that was given a place is missing, or is there twice")
            found.append(tlog.leaf(row.to_dict() or {}))
        return found
