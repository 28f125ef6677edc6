"""Rows of every entry that expires, put there as their writers would, and what becomes of them."""

import json
import secrets
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from google.cloud import firestore

from astra import tlog
from astra.datamap import expiry
from astra.datamap.model import Entry
from astra.erasure import legal_holds
from astra.jobs import Worker
from astra.runtime.platform import Platform
from astra.vault import vault_of
from retention import schedule
from tests.conftest import SteppedClock

BUDGET = timedelta(minutes=10)


class Stored:
    """The rows of one project."""

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform, self.db = platform, platform.db
        self.clock: SteppedClock = platform.clock  # type: ignore[assignment]

    def add(
        self, name: str, uid: str = "ada", item: str | None = None, until: datetime | None = None, **fields: Any
    ) -> firestore.DocumentReference:
        """A row of the entry called `name` that lives as long as one of it does, or `until` then."""
        entry, now = of(name), self.clock()
        where = entry.where.replace("{uid}", uid).replace("{email}", uid)
        row = self.db.document(where.replace("{item}", item or secrets.token_hex(8)))
        began = fields.setdefault(entry.since[0], now)
        fields.setdefault("createdAt", now)
        row.set({**fields, "expireAt": until or began + (entry.lives or timedelta(0))})
        return row

    def image(self, uid: str, item: str, until: datetime) -> firestore.DocumentReference:
        """An image with object, thumbnail and keys, and an end of its own."""
        vault_of(self.platform).new_object(uid, item)
        for folder in ("images", "thumbs"):
            self.platform.bucket.blob(f"{folder}/{uid}/{item}").upload_from_string(b"sealed")
        return self.add("image-records", uid, item, until, status="ready")

    def parts(self, uid: str, item: str) -> list[str]:
        """What is left of an image."""
        db, vault = self.db, self.platform.vault_db
        documents = [db.document(f"users/{uid}/images/{item}"), vault.document(f"keys/{uid}/objects/{item}")]
        blobs = [self.platform.bucket.blob(f"{folder}/{uid}/{item}") for folder in ("images", "thumbs")]
        return [d.path for d in documents if d.get().exists] + [blob.name for blob in blobs if blob.exists()]

    def hold(self, uid: str, *entries: str, days: float = 30) -> str:
        """Place a legal hold."""
        now = self.clock()
        return legal_holds.place(
            self.db,
            self.platform.pseudonyms.of_uid(uid),
            entries=entries,
            basis="Case 7 O 12/26",
            expires_at=now + timedelta(days=days),
            approvers=["priya", "sam"],
            now=now,
        )

    def sweep(self, **ahead: float) -> None:
        """What the schedule does."""
        schedule.sweep(self.platform, BUDGET, timedelta(**ahead))

    def run(self, name: str) -> None:
        """One round of a single job, as `sweep` would do it."""
        kind = schedule.kinds(self.platform, self.clock)[name]
        schedule.begin(self.platform, name, {"cursor": None, "counts": {}})
        worker = Worker(self.platform.db, self.clock, timedelta(seconds=1))
        worker.run(schedule.reference(self.db, name), kind.page, BUDGET)

    def job(self, name: str) -> dict[str, Any]:
        """The fields of one of the sweep's jobs."""
        return self.db.document(f"rounds/{name}").get().to_dict() or {}

    def evidence(self, action: tlog.Action = tlog.Action.DATA_SWEPT) -> list[dict[str, Any]]:
        """What the log says of sweeps."""
        rows = self.db.collection("commitments").where(filter=firestore.FieldFilter("action", "==", action.value))
        return [json.loads(row.get("record")) for row in rows.get()]

    def counted(self, what: str = "deleted") -> Counter[str]:
        """How many the log says were deleted, or held, by entry."""
        found: Counter[str] = Counter()
        for record in self.evidence():
            found[record["entry"]] += record.get(what, 0)
        return +found


def of(name: str) -> Entry:
    """The entry called so."""
    [entry] = [entry for entry in expiry.entries() if entry.name == name]
    return entry
