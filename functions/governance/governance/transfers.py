"""Business transfers: the gate through which data of notified people may pass.

    transfers/{id}   {recipient, policyUrl, summary, plannedAt, waitingDays, state, announcedAt, openedAt, cancelledAt}

Why nothing leaves too early, or of somebody whom it must not:
- Everybody has been told, and then the waiting period has passed: `gate` says so for each page anew, in the transaction
  that reads the page, so that what is cancelled meanwhile stops at the next page.
- Each person has a notice of their own that is as old as the waiting period. Who signed up after the announcement was
  told when they did, and waits as long as everybody; who was not told, for whatever reason, or signed up once somebody
  had passed the gate, is not transferred.
- While a breach has exports frozen, nothing leaves. Accounts that nobody has are in no page.
- Who is erased, or frozen, by then is not in the page: the same transaction reads profile and tombstone. A page is for
  immediate use; who asked to be erased after it was read is not safe from whoever keeps it.

`gate` is the only code that lists people for somebody outside; a test finds any other.

`astra transfers status` shows each transfer, and why it is shut.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Self

from google.cloud import firestore

from astra import tlog
from astra.accounts import tombstones
from astra.accounts.honeytokens import is_honey
from astra.accounts.state import ProfileState
from astra.notices import campaigns, inbox
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from astra.staff import freezes

TRANSFERS: Final = "transfers"
_PAGE_PROFILES: Final = 100


class State(enum.StrEnum):
    """What was decided of a transfer. Whether its gate is open is a question of the time."""

    PLANNED = "planned"
    OPENED = "opened"
    """Somebody has passed the gate."""
    CANCELLED = "cancelled"


class Closed(Exception):
    """Nothing may be transferred. `opens_at` is when that changes, if nobody changes it; None if it can't be said."""

    def __init__(self, reason: str, opens_at: datetime | None = None) -> None:
        super().__init__(f"{reason}: opens at {iso(opens_at)}" if opens_at else reason)
        self.reason, self.opens_at = reason, opens_at


@dataclass(frozen=True)
class Transfer:
    """One transfer, as planned."""

    name: str
    recipient: str
    state: State
    planned_at: datetime
    waiting: timedelta

    @classmethod
    def of(cls, stored: "firestore.DocumentSnapshot[Any]") -> Self:
        """What `transfers/{id}` holds. Raises Closed if it holds nothing."""
        fields = stored.to_dict()
        if fields is None:
            raise Closed("there is no such transfer")
        waiting = timedelta(days=fields["waitingDays"])
        return cls(stored.id, fields["recipient"], State(fields["state"]), fields["plannedAt"], waiting)

    @property
    def campaign(self) -> str:
        """Its notices' campaign, and the name of each person's notice."""
        return campaign(self.name)

    def refuse_closed(self, complete_at: datetime | None, now: datetime) -> None:
        """Raise Closed unless people may be transferred at `now`, everybody having been told by `complete_at`."""
        if self.state is State.CANCELLED:
            raise Closed("it was cancelled")
        if complete_at is None:
            raise Closed("not everybody has been told yet")
        if now < (opens_at := max(self.planned_at, complete_at + self.waiting)):
            raise Closed("people may still delete their accounts", opens_at)


def campaign(name: str) -> str:
    """The campaign of a transfer's notices."""
    return f"transfer-{name}"


def reference(db: firestore.Client, name: str) -> firestore.DocumentReference:
    """Where a transfer is kept."""
    return db.collection(TRANSFERS).document(name)


def gate(platform: Platform[Settings], name: str, after: str = "") -> Iterator[list[str]]:
    """The account ids that may be transferred now, in pages and in order, from the one after `after` on.

    Raises Closed, at the first page or at any later one.
    """
    ended = False
    while not ended:
        page, after, ended = transact(platform.db, partial(_page, platform=platform, name=name, after=after))
        if page:
            yield page


def _page(
    transaction: firestore.Transaction, platform: Platform[Settings], name: str, after: str
) -> tuple[list[str], str, bool]:
    """Who of the next profiles may be transferred, the last of these, and whether there are no more."""
    db, now = platform.db, platform.clock()
    refuse_frozen(db, transaction)
    transfer = Transfer.of(reference(db, name).get(transaction=transaction))
    transfer.refuse_closed(campaigns.completed_at(db, transfer.campaign, transaction), now)
    profiles = db.collection("users").order_by("__name__").select(["state"]).limit(_PAGE_PROFILES)
    if after:
        profiles = profiles.start_after({"__name__": db.document("users", after)})
    found = profiles.get(transaction=transaction)
    people = (profile for profile in found if not is_honey(platform.pseudonyms, profile.id))
    active = [profile.id for profile in people if profile.get("state") == ProfileState.ACTIVE]
    stones = (tombstones.reference(db, platform.pseudonyms.of_uid(uid)) for uid in active)
    owed = (inbox.reference(db, uid, transfer.campaign) for uid in active)
    erased = fetch(db, *stones, transaction=transaction)
    told = fetch(db, *owed, transaction=transaction)
    page = [
        uid
        for uid, stone, notice in zip(active, erased, told, strict=True)
        if not stone.exists and notice.exists and notice.get("createdAt") + transfer.waiting <= now
    ]
    if transfer.state is State.PLANNED:
        record = {"transfer": name, "state": State.OPENED.value}
        tlog.append(transaction, db, tlog.Entry(tlog.Action.TRANSFER_OPENED, record, now))
        transaction.update(reference(db, name), {"state": State.OPENED.value, "openedAt": now})
        campaigns.tell_newcomers(transaction, db, transfer.campaign, until=now)
    return page, found[-1].id if found else after, len(found) < _PAGE_PROFILES


def refuse_frozen(db: firestore.Client, transaction: firestore.Transaction | None = None) -> None:
    try:
        freezes.refuse_frozen(db, freezes.Control.EXPORTS, transaction)
    except freezes.Frozen:
        raise Closed("exports are frozen while a breach is contained") from None
