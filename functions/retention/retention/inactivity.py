"""Inactive accounts: warned twice, then erased.

What is noted of somebody is in `activity`.

Why nobody is erased who came back, or was not warned in time:
- A sign-in writes `inactivity` anew, in a transaction; each step is a transaction that reads it and does nothing unless
  it is due. Whichever comes first, the other sees it. Sessions go on without a sign-in, so before a step Auth is asked
  when it last gave an account a token.
- A step counts from when the step before it was done, and not from when it should have been: 23 days after the first
  warning the second, 7 days later the erasure. A warning whose letter still waits to be sent has not been given:
  it counts from what then became of the letter.
- Who can't come back, or of whom something must be kept or told, waits: afterwards both warnings are given again. Who
  was frozen between two steps waits from when they are let in again: see `activity.thawed`.
"""

import enum
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from firebase_admin import auth
from firebase_admin.exceptions import FirebaseError
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import firestore

from astra import erasure, staff, tlog
from astra.accounts import tombstones
from astra.accounts.activity import DAY, FIELD, FIRST_WARNING, LAST_WARNING, anew, seen
from astra.accounts.honeytokens import is_honey
from astra.accounts.state import ProfileState
from astra.erasure import legal_holds
from astra.notices import campaigns, deliveries
from astra.notices.campaigns import Channel
from astra.notices.deliveries import DeliveryState
from astra.notices.inbox import Kind
from astra.runtime.account_id import is_account_id
from astra.runtime.clock import Clock, iso
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import InactivitySettings

from retention.documents import OUTAGE, Round, Snapshots

_MAX_PAGE_ACCOUNTS: Final = 100
"""As many as Auth looks up at once."""


class Step(enum.Enum):
    """What is due of somebody."""

    NOTHING = "nothing"
    """They were here meanwhile."""
    LEAVE = "leave"
    """They are being erased already."""
    SEEN = "seen"
    """They were, but without a sign-in."""
    WAIT = "wait"
    AGAIN = "again"
    """The last warning has not reached them for long enough."""
    WARN = "warned"
    ERASE = "erased"


@dataclass(frozen=True)
class Account:
    """What Auth knows: when it last gave a token, and whether it would give another."""

    seen: datetime | None
    open: bool


def at_auth(platform: Platform[InactivitySettings], uids: list[str]) -> dict[str, Account]:
    """Up to a hundred of them, as Auth knows them; who is missing has none. Raises ServiceUnavailable."""
    asked = [auth.UidIdentifier(uid) for uid in uids if is_account_id(uid)]
    try:
        found = auth.get_users(asked, app=platform.app).users if asked else []
    except FirebaseError as error:
        raise ServiceUnavailable("Auth does not answer") from error  # type: ignore[no-untyped-call]
    return {account.uid: Account(_last_seen(account.user_metadata), not account.disabled) for account in found}


class Inactive(Round):
    """A round through all who are due, longest due first."""

    field = f"{FIELD}.dueAt"
    ahead = most = _MAX_PAGE_ACCOUNTS

    def __init__(self, platform: Platform[InactivitySettings], now: Clock) -> None:
        super().__init__(platform.db.collection("users"), now)
        self._platform = platform

    def work(self, rows: Snapshots) -> "Counter[str]":
        """One step of each, but for an account that nobody has and nobody may touch."""
        people = self.people(rows)
        self._skipped |= {row.reference.path for row in rows} - {row.reference.path for row in people}
        known = at_auth(self._platform, [row.id for row in people])
        counts: Counter[str] = Counter()
        for row in people:
            try:
                step = self._step(row.id, known.get(row.id))
            except OUTAGE:
                raise
            except Exception as error:  # noqa: BLE001  (whatever is wrong with one must not stop the others)
                counts += self.skip(row, error)
            else:
                counts += Counter() if step is Step.NOTHING else Counter([step.value])
        return counts

    def people(self, rows: Snapshots) -> Snapshots:
        """Those of them who are somebody, and may be touched."""
        return [row for row in rows if not is_honey(self._platform.pseudonyms, row.id)]

    def steps(self, rows: Snapshots) -> "list[Step]":
        """What `work` would do."""
        rows = self.people(rows)
        known = at_auth(self._platform, [row.id for row in rows])
        return [self._judged(self._read(row.id), known.get(row.id)) for row in rows]

    def _step(self, uid: str, account: Account | None) -> Step:
        def body(transaction: firestore.Transaction) -> Step:
            read = self._read(uid, transaction)
            step = self._judged(read, account)
            self._take(transaction, step, read, account)
            return step

        return transact(self._platform.db, body)

    def _read(self, uid: str, transaction: firestore.Transaction | None = None) -> "_Read":
        db, subject = self._platform.db, self._platform.pseudonyms.of_uid(uid)
        profile, tombstone, role, held = fetch(
            db,
            db.document("users", uid),
            tombstones.reference(db, subject),
            staff.reference(db, uid),
            legal_holds.reference(db, subject),
            transaction=transaction,
        )
        gags = db.collection("users", uid, "gags").limit(1).get(transaction=transaction)
        told = ((profile.to_dict() or {}).get(FIELD) or {}).get("told")
        letter = deliveries.row_of(db, uid, told).get(transaction=transaction).to_dict() if told else None
        return _Read(
            uid=uid,
            profile=profile.to_dict() or {},
            is_erased=tombstone.exists,
            waits=bool(gags or (role.to_dict() or {}).get("role") or legal_holds.held(held, self.now())),
            letter=letter or {},
        )

    def _judged(self, read: "_Read", account: Account | None) -> Step:
        """What is due of somebody, as read."""
        now, noted = self.now(), read.profile.get(FIELD)
        if not noted or noted["dueAt"] > now:
            return Step.NOTHING
        if read.is_erased or read.profile.get("state") == ProfileState.ERASING:
            return Step.LEAVE
        if account and account.seen and self._next_after(account.seen) > now:
            return Step.SEEN
        if account is None or not account.open or read.waits or read.profile.get("state") != ProfileState.ACTIVE:
            return Step.WAIT
        return self._step_of(noted["warnings"], read.letter)

    def _step_of(self, warnings: int, letter: dict[str, Any]) -> Step:
        if not warnings:
            return Step.WARN
        given_at, gap = letter.get("settledAt"), FIRST_WARNING - LAST_WARNING if warnings == 1 else LAST_WARNING
        if letter.get("state") == DeliveryState.QUEUED or (given_at and given_at + gap > self.now()):
            return Step.AGAIN
        return Step.WARN if warnings == 1 else Step.ERASE

    def _take(self, transaction: firestore.Transaction, step: Step, read: "_Read", account: Account | None) -> None:
        """Write what a step changes. Where it was seen that nothing is to be done, nothing."""
        now, noted, profile = self.now(), read.profile.get(FIELD, {}), self._platform.db.document("users", read.uid)
        match step:
            case Step.LEAVE:
                transaction.update(profile, {FIELD: firestore.DELETE_FIELD})
            case Step.SEEN if account and account.seen:
                transaction.update(profile, {FIELD: seen(self._platform.settings, account.seen)})
            case Step.WAIT:
                transaction.update(profile, {FIELD: anew(noted, now)})
            case Step.AGAIN:
                transaction.update(profile, {FIELD: {**noted, "dueAt": now + DAY}})
            case Step.WARN:
                self._warn(transaction, read, account)
            case Step.ERASE:
                transaction.update(profile, {FIELD: firestore.DELETE_FIELD})
                begun = self._platform.clock()
                erasure.intend(transaction, self._platform, read.uid, begun, has_profile=True)
                erasure.confirm(transaction, self._platform, read.uid, begun)

    def _warn(self, transaction: firestore.Transaction, read: "_Read", account: Account | None) -> None:
        now, written, noted = self.now(), self._platform.clock(), read.profile[FIELD]
        warnings = noted["warnings"] + 1
        left, gap = (FIRST_WARNING, FIRST_WARNING - LAST_WARNING) if warnings == 1 else (LAST_WARNING, LAST_WARNING)
        last = max(noted["seenAt"], account.seen) if account and account.seen else noted["seenAt"]
        name = f"inactivity-{warnings}-{written:%Y%m%d%H%M%S}"
        facts = {"erasesAt": iso(now + left), "lastActiveAt": iso(last)}
        both = (Channel.IN_APP, Channel.EMAIL)
        campaigns.tell(transaction, self._platform, read.uid, name, Kind.INACTIVITY, facts, written, both)
        record = {"warning": warnings, "erasesAt": facts["erasesAt"]}
        subject = self._platform.pseudonyms.of_uid(read.uid)
        logged = tlog.Entry(tlog.Action.INACTIVITY_WARNED, record, written, subject)
        tlog.append(transaction, self._platform.db, logged)
        step = {**noted, "dueAt": now + gap, "warnings": warnings, "told": name}
        transaction.update(self._platform.db.document("users", read.uid), {FIELD: step})

    def _next_after(self, at: datetime) -> datetime:
        due: datetime = seen(self._platform.settings, at)["dueAt"]
        return due


@dataclass(frozen=True)
class _Read:
    """What a step depends on, but for what Auth knows."""

    uid: str
    profile: dict[str, Any]
    is_erased: bool
    waits: bool
    """They are staff, have a legal hold, or must still be told of a disclosure: nobody asked for this erasure."""
    letter: dict[str, Any]
    """The ledger's row of the last warning."""


def _last_seen(metadata: auth.UserMetadata) -> datetime | None:
    times = [metadata.last_sign_in_timestamp, metadata.last_refresh_timestamp]
    latest = max((time for time in times if time), default=None)
    return datetime.fromtimestamp(latest / 1000, UTC) if latest else None
