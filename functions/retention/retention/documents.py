"""Expired documents of one entry of the data map, deleted a page at a time.

Why it can't delete what must stay:
- Only what `expireAt` says is over is looked at, and every delete is on condition that the document is as it was read:
  one that was renewed meanwhile survives.
- A page asserts in its own commit that nobody of those whose rows it deletes has a legal hold. Where that fails, or
  anything else, the rows and the holds are read in the transaction that deletes them; what is held gets the mark
  `expiredAt`, which hides it, and is looked at again in a day, or when the hold ends. For each thing
  such as an image they are read again just before it is destroyed.
- The log's entry is written in that commit too: no row goes without it, and none is counted that did not go.
Why it costs what is due and not what is stored: a page is one ordered and limited query, which begins where the last
page ended, and asserting reads nothing.
Why nothing delays the rest: a page that fails is halved until what fails is alone; that is logged, stays, and is tried
again by the next sweep.
"""

from collections import Counter
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from google.api_core.exceptions import DeadlineExceeded, RetryError, ServiceUnavailable
from google.cloud import firestore

from astra import tlog
from astra.datamap import expiry
from astra.datamap.expiry import EXPIRED, EXPIRES
from astra.datamap.model import Entry
from astra.datamap.table import DATA_MAP
from astra.erasure import legal_holds
from astra.erasure.item import Thing
from astra.runtime import log
from astra.runtime.clock import Clock, iso
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

_PAGE_DOCUMENTS: Final = 200
_QUERY_DOCUMENTS: Final = 5 * _PAGE_DOCUMENTS
_PAGE_ITEMS: Final = 40
_THREADS: Final = 8
_HELD_RECHECK_DELAY: Final = timedelta(days=1)
OUTAGE: Final = (DeadlineExceeded, RetryError, ServiceUnavailable)
"""Of the database itself: no row's fault, so the job waits."""

Snapshots = list["firestore.DocumentSnapshot[Any]"]
ENDED: Final[dict[str, Any]] = {"state": "ended", "cursor": None, "nextRunAt": None}


class _Undone(Exception):
    """Another store does not answer: it may be for one of these things alone."""


class Round:
    """Goes once through those of `rows` whose field has come, in its order. A job's pages; see `jobs`."""

    field: str
    #: How many a query asks for, which walks over all that was just deleted before it; and how many go at once.
    ahead: int = _PAGE_DOCUMENTS
    most: int = _PAGE_DOCUMENTS

    def __init__(self, rows: firestore.CollectionReference | firestore.CollectionGroup, now: Clock) -> None:
        self._rows, self.now = rows, now
        #: What can't be done in this round: another one tries again.
        self._skipped: set[str] = set()

    def due(self, since: datetime | None = None) -> firestore.Query:
        """What has come, oldest first, from `since` on."""
        until = firestore.FieldFilter(self.field, "<=", self.now())
        query: firestore.Query = self._rows.where(filter=until).order_by(self.field)
        return query.where(filter=firestore.FieldFilter(self.field, ">=", since)) if since else query

    def is_due(self) -> bool:
        """Whether anything has come."""
        return any(self.due().limit(1).get())

    def page(self, job: dict[str, Any]) -> dict[str, Any]:
        """The next documents that are due. A cursor is a time, and of nobody."""
        ahead = self.ahead + len(self._skipped)
        found = self.due(job["cursor"]).limit(ahead).get()
        rows = [row for row in found if row.reference.path not in self._skipped]
        if not rows:
            return ENDED
        pages = (rows[first : first + self.most] for first in range(0, len(rows), self.most))
        counts = sum(map(self._isolating, pages), Counter[str]())
        if counts:
            log.write(log.Event.SWEPT, **counts)
        ending = ENDED if len(found) < ahead else {"cursor": rows[-1].get(self.field)}
        return {"counts": dict(Counter(job["counts"]) + counts), **ending}

    def work(self, rows: Snapshots) -> "Counter[str]":
        """Do what is due to `rows`; answers how many had what done to them."""
        raise NotImplementedError

    def skip(self, row: "firestore.DocumentSnapshot[Any]", error: Exception) -> "Counter[str]":
        """Leave what can't be done to the next round."""
        log.failure(log.Event.SWEEP_SKIPPED, error)
        self._skipped.add(row.reference.path)
        return Counter(skipped=1)

    def _isolating(self, rows: Snapshots) -> "Counter[str]":
        """The work on `rows` or, where it fails, on each half of them, until what fails is alone and skipped."""
        try:
            return self.work(rows)
        except OUTAGE:
            raise
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row must not stop the others)
            if len(rows) == 1:
                return self.skip(rows[0], error)
            middle = len(rows) // 2
            return self._isolating(rows[:middle]) + self._isolating(rows[middle:])


class Rows(Round):
    """The sweep of one entry's documents, with all else that a thing such as an image consists of."""

    field = EXPIRES

    def __init__(self, platform: Platform[Settings], entry: Entry, now: Clock) -> None:
        super().__init__(expiry.everybodys(platform.db, entry), now)
        self._platform, self._db, self.entry = platform, platform.db, entry
        self._is_thing = any(other.item == entry.item for other in DATA_MAP if entry.item and other is not entry)
        self.ahead, self.most = (_PAGE_ITEMS, _PAGE_ITEMS) if self._is_thing else (_QUERY_DOCUMENTS, _PAGE_DOCUMENTS)

    def due(self, since: datetime | None = None) -> firestore.Query:
        """What is over, oldest first; of each no more than since when."""
        return super().due(since).select([EXPIRES])

    def work(self, rows: Snapshots) -> "Counter[str]":
        """Delete a page, but for what is held and what is called like one of the entry and is none."""
        ours = [row for row in rows if self.entry.claims(row.reference.path)]
        self._skipped |= {row.reference.path for row in rows} - {row.reference.path for row in ours}
        if self._is_thing:
            return self._things(ours)
        try:
            return self._at_once(ours)
        except OUTAGE:
            raise
        except Exception:  # noqa: BLE001  (renewed, held, or wrong: looked at more closely)
            return self._looked_at(ours)

    def hold(self, row: "firestore.DocumentSnapshot[Any]", stored: "firestore.DocumentSnapshot[Any] | None") -> Any:
        """The hold that keeps a row, of its person's holds as read; None if none does."""
        uid = self.entry.owner(row.reference.path)
        if uid is None or stored is None or not stored.exists:
            return None
        if self._is_thing:
            return Thing(self._platform, uid, self.entry.item, row.id).hold(stored, self.now())
        return legal_holds.held(stored, self.now()).get(self.entry.name)

    def holds_of(self, row: "firestore.DocumentSnapshot[Any]") -> firestore.DocumentReference | None:
        """Where a row's person has their holds; None where no hold can be."""
        uid = None if self.entry.passing else self.entry.owner(row.reference.path)
        return legal_holds.reference(self._db, self._platform.pseudonyms.of_uid(uid)) if uid else None

    def _at_once(self, rows: Snapshots) -> "Counter[str]":
        """Delete all, if they are as they were read and nobody has a hold, in one request that reads nothing."""
        batch, deleted = self._db.batch(), Counter(deleted=len(rows))
        for row in rows:
            self._delete(batch, row)
        for reference in {holds.path: holds for row in rows if (holds := self.holds_of(row))}.values():
            batch.delete(reference, self._db.write_option(exists=False))
        self._note(batch, deleted)
        batch.commit()
        return deleted

    def _looked_at(self, rows: Snapshots, spared: Container[str] = ()) -> "Counter[str]":
        """Delete those of them that are due and not held, as read in the transaction that does it; none of `spared`."""

        def body(transaction: firestore.Transaction) -> "Counter[str]":
            found, counts = self._judged(transaction, rows)
            doomed = [row for row in found if row.reference.path not in spared]
            for row in doomed:
                self._delete(transaction, row)
            counts["deleted"] = len(doomed)
            self._note(transaction, counts)
            return +counts

        return transact(self._db, body)

    def _things(self, rows: Snapshots) -> "Counter[str]":
        """First it is decided, then keys and objects go, the record last: a crash leaves a record that is still due."""

        def decide(transaction: firestore.Transaction) -> "tuple[Snapshots, Counter[str]]":
            doomed, counts = self._judged(transaction, rows)
            for row in doomed:
                transaction.update(row.reference, {EXPIRED: _over_since(row)})
            self._note(transaction, counts)
            return doomed, counts

        doomed, kept = transact(self._db, decide)
        try:
            with ThreadPoolExecutor(_THREADS) as hands:
                gone = list(hands.map(self._destroy, doomed))
        except OUTAGE as error:
            raise _Undone from error
        spared = {row.reference.path for row, is_gone in zip(doomed, gone, strict=True) if not is_gone}
        return kept + self._looked_at(doomed, spared)

    def _destroy(self, row: "firestore.DocumentSnapshot[Any]") -> bool:
        """Unless a hold was placed since it was decided, while others of the page went. Answers whether it is gone."""
        place = self.holds_of(row)
        if place and self.hold(row, place.get()):
            return False
        # What does not answer is asked again by the next sweep, and does not hold up the others meanwhile.
        uid = str(self.entry.owner(row.reference.path))
        Thing(self._platform, uid, self.entry.item, row.id).destroy(retry=None)
        return True

    def _judged(self, transaction: firestore.Transaction, rows: Snapshots) -> "tuple[Snapshots, Counter[str]]":
        """Which of them go, as they are now. What is held is marked, and looked at again later."""
        places = {row.reference.path: self.holds_of(row) for row in rows}
        needed = {place.path: place for place in places.values() if place}
        read = fetch(self._db, *(row.reference for row in rows), *needed.values(), transaction=transaction)
        stored = {snapshot.reference.path: snapshot for snapshot in read[len(rows) :]}
        doomed, counts = [], Counter[str]()
        for row in read[: len(rows)]:
            if not is_due(row, self.now()):
                continue
            place = places[row.reference.path]
            if hold := self.hold(row, stored[place.path] if place else None):
                again = min(hold["expiresAt"], self.now() + _HELD_RECHECK_DELAY)
                transaction.update(row.reference, {EXPIRED: _over_since(row), EXPIRES: again})
                counts["held"] += 1
            else:
                doomed.append(row)
        return doomed, counts

    def _delete(self, batch: firestore.WriteBatch, row: "firestore.DocumentSnapshot[Any]") -> None:
        batch.delete(row.reference, self._db.write_option(last_update_time=row.update_time))

    def _note(self, batch: firestore.WriteBatch, counts: "Counter[str]") -> None:
        note(batch, self._platform, self.entry, counts, self.now())


def is_due(row: "firestore.DocumentSnapshot[Any]", now: datetime) -> bool:
    """Whether a document as read is there and over."""
    until = (row.to_dict() or {}).get(EXPIRES)
    return isinstance(until, datetime) and until <= now


def note(
    batch: firestore.WriteBatch, platform: Platform[Settings], entry: Entry, counts: "Counter[str]", until: datetime
) -> None:
    """Write into the log, as part of `batch`, what was done to an entry's data that was over by `until`."""
    if not counts.total():
        return
    record = {"entry": entry.name, **counts, "rule": entry.retention, "until": iso(until)}
    tlog.append(batch, platform.db, tlog.Entry(tlog.Action.DATA_SWEPT, record, platform.clock()))


def _over_since(row: "firestore.DocumentSnapshot[Any]") -> datetime:
    fields = row.to_dict() or {}
    since: datetime = fields.get(EXPIRED, fields[EXPIRES])
    return since
