"""A log in a project of its own, and what somebody can do to it who writes wherever we do, but not to the witness."""

import base64
from datetime import timedelta
from typing import Any, Final

from google.cloud import firestore

from astra import tlog
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.tlog import merkle, receipts
from astra.tlog.signed_note import Checkpoint, Signer, checkpoint_of
from astra.tlog.tiles import ENTRIES, PREFIX, Tiles, bundle, path
from cli import tlog_verify
from cli.tlog_verify import Report
from tlog import sequencer
from tlog.witness import Witness, verifiers

_BUDGET: Final = timedelta(minutes=1)
WHO: Final = Pseudonym("5" * 64)


class Ledger:
    """Appends, sequences, verifies; and overwrites."""

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform, self.db, self.bucket = platform, platform.db, platform.bucket
        self.appended: list[str] = []

    def append(self, number: int = 1) -> list[str]:
        """Append so many entries, in one batch. Answers their ids."""
        batch = self.db.batch()
        ids = []
        for _ in range(number):
            record = {"number": len(self.appended) + len(ids), "subject": WHO}
            entry = tlog.Entry(tlog.Action.CONSENT_GIVEN, record, self.platform.clock(), WHO)
            ids.append(tlog.append(batch, self.db, entry))
        batch.commit()
        self.appended += ids
        return ids

    def sequence(self) -> None:
        """What the schedule does, when it is due."""
        self.platform.clock.step(minutes=2)  # type: ignore[attr-defined]
        sequencer.sequence(self.platform, _BUDGET)

    def grow(self, *batches: int) -> None:
        """Append and publish, a checkpoint for each batch."""
        for number in batches:
            self.append(number)
            self.sequence()

    def job(self) -> dict[str, Any]:
        """The sequencer's."""
        return sequencer.reference(self.db).get().to_dict() or {}

    def fields(self, entry_id: str) -> dict[str, Any]:
        """An entry's document."""
        return tlog.reference(self.db, entry_id).get().to_dict() or {}

    def at(self, index: int) -> Any:
        """The reference of the entry at this place."""
        here = firestore.FieldFilter("index", "==", index)
        [row] = self.db.collection(tlog.COMMITMENTS).where(filter=here).get()
        return row.reference

    def witnessed(self) -> list[Checkpoint]:
        """What the witness remembers, the smallest tree first."""
        return [checkpoint_of(note) for note in Witness(self.platform.settings).all()][::-1]

    def verify(self) -> Report:
        """What the audit finds."""
        return tlog_verify.verify(self.platform)

    def proof(self, entry_id: str) -> str | None:
        """An entry's receipt."""
        return receipts.of_entry(self.db, self.bucket, entry_id)

    def keys(self) -> list[str]:
        """What receipts are checked with."""
        return list(map(str, verifiers(self.platform.settings)))

    def signer(self, seed: int | None = None) -> Signer:
        """The log's own key, or one made from a number."""
        secret = self.platform.settings.log_key.get_secret_value() if seed is None else bytes([seed] * 32)
        return Signer.of(self.platform.settings.log_origin, secret)

    def use(self, **settings: Any) -> None:
        """Deploy with other settings."""
        self.platform.__dict__["settings"] = self.platform.settings.model_copy(update=settings)

    def entries(self, size: int) -> list[bytes]:
        """The entries in the tree, as stored."""
        return list(Tiles(self.bucket).entries(0, size))

    def put(self, name: str, content: bytes) -> None:
        """Overwrite an object of the log."""
        self.bucket.blob(PREFIX + name).upload_from_string(content)

    def rewrite(self, entries: list[bytes], signer: Signer | None = None) -> None:
        """Make another tree of these entries, complete in all its tiles; signed too, if there is a key for it."""
        hashes = [merkle.leaf_hash(entry) for entry in entries]
        for level, items in ((ENTRIES, entries), (0, hashes)):
            for first in range(0, len(items), 256):
                chunk = items[first : first + 256]
                content = bundle(chunk) if level == ENTRIES else b"".join(chunk)
                self.put(path(level, first // 256, len(chunk)), content)
        above = [merkle.fold(hashes[i : i + 256]) for i in range(0, len(hashes) - 255, 256)]
        if above:
            self.put(path(1, 0, len(above)), b"".join(above))
        if signer:
            checkpoint = Checkpoint(signer.name, len(entries), merkle.fold(hashes))
            self.put("checkpoint", signer.sign(str(checkpoint)).encode())


def nonce(number: int) -> str:
    """A nonce as it is stored."""
    return base64.b64encode(bytes([number] * 32)).decode()
