"""Campaigns of notices to many recipients, and single notices.

    campaigns/{name}                {kind, facts, sample, textSha256, channels, audience, state, stoppedIn, stoppedAt,
                                    canary, closed, approvers, createdAt, startedAt, goingSince, goingFrom, frozenAt,
                                    count, root, counts, newcomersUntil, completedAt}
    campaigns/{name}/shards/{n}     jobs: `opening` freezes the cohort and goes through its first members; `00`… each go
                                    through a range of account ids, `mail-0`… through the letters that are due,
                                    `newcomers-0`… through who signed up while it was stopped
    users/{uid}/notices/{name}      the notice in the application: that it exists is that it was delivered
    users/{uid}/deliveries/{name}   the ledger's row, where one is needed: for a letter, or for somebody on a list
                                    {campaign, facts, kind?, lane, state, code, key, attempts, deferred, nextRunAt,
                                    createdAt, settledAt?, seenAt?}; settledAt: when last was heard of the letter

Why everybody is told once: the members of a range are read, their notices written, and the range's cursor moved on, in
one transaction; whoever begins to be erased changes their profile in a transaction too, so one of the two waits for the
other. A letter is claimed before and recorded after it is sent: killed between these, a worker has sent one that goes
out again, under the same Message-ID.

No account id stands outside its owner's own documents: a cursor is the shortest text between two ids.

    state     proposed → canary → waiting → running → complete, and stopped in between, `stoppedIn` one of these, or for
              good, in none; see State
    counts    of members, each once: told (in the application), queued (a letter), gone (erased meanwhile); of letters,
              once all are terminal: accepted, delivered, bounced, failed
    root      SHA-256 over the roots of the ranges in their order, each a chain over its members' pseudonyms:
              root = SHA-256(root before || pseudonym), from 32 zero bytes on
"""

import enum
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from google.cloud import firestore

from astra import jobs, tlog
from astra.notices import deliveries, inbox, messages
from astra.notices.inbox import Kind, Notice
from astra.runtime.firestore import PendingWrite, transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

CAMPAIGNS: Final = "campaigns"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_MIN_APPROVERS: Final = 2
UNSETTLED: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Who signs up is told until it has come, whenever that is: see `tell_newcomers`."""


class Channel(enum.StrEnum):
    """How somebody is told. A letter that can't be delivered becomes a notice in the application."""

    IN_APP = "in-app"
    EMAIL = "email"


class Audience(enum.StrEnum):
    """Who is told."""

    EVERYBODY = "everybody"
    LISTED = "listed"


class State(enum.StrEnum):
    """How far a campaign is."""

    PROPOSED = "proposed"
    """Two people have to send it; a list has to be closed first."""
    CANARY = "canary"
    """The first hundredth of its members is told."""
    WAITING = "waiting"
    """These were told: two people have to let it go on."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Nobody is told anything, nor who signs up, until two people let it go on: then these are told too, last of all.
    Or ever, if what it tells of does not come."""
    COMPLETE = "complete"
    """Every member was told, or is gone."""


@dataclass(frozen=True)
class Campaign:
    """What is told. `facts` are the same for everybody and name nobody; see `notices.Kind` for what each needs."""

    kind: Kind
    facts: Mapping[str, str]
    channels: tuple[Channel, ...] = (Channel.IN_APP,)
    sample: Mapping[str, str] = field(default_factory=dict)
    """Facts that each recipient on a list has of their own: these stand for them in the text that is approved."""


class Changed(Exception):
    """A notice's text is not the one that was approved: a template, or the data map's words, have changed since."""


def refuse_changed(stored: "firestore.DocumentSnapshot[Any]") -> None:
    """Raise Changed if the templates of this deployment make another text of a campaign than was approved."""
    fields: dict[str, Any] = stored.to_dict() or {}
    approved = fields.get("textSha256")
    facts = fields.get("facts", {}) | fields.get("sample", {})
    if approved and messages.render(Kind(fields["kind"]), facts).sha256 != approved:
        raise Changed


def reference(db: firestore.Client, name: str) -> firestore.DocumentReference:
    """Where a campaign is; raises ValueError for what can be no name of one."""
    if not _NAME.fullmatch(name):
        raise ValueError("a campaign's name is of small letters, digits, dots, dashes and underscores")
    return db.document(CAMPAIGNS, name)


def announce(
    batch: firestore.WriteBatch,
    db: firestore.Client,
    name: str,
    campaign: Campaign,
    now: datetime,
    approvers: Collection[str] = (),
    *,
    canary: bool = True,
    newcomers_until: datetime | None = None,
) -> None:
    """Open a campaign for everybody who has a profile, as part of `batch`, which may be a transaction.

    It starts at once if two people approved it; else two have to send it. Who signs up until `newcomers_until` is told
    on the way in: see `pending`. A second one of the same name fails the batch. Raises ValueError, LookupError.
    """
    more = {"audience": Audience.EVERYBODY.value, "closed": True, "newcomersUntil": newcomers_until}
    fields = _open(batch, reference(db, name), campaign, now, approvers, **more, canary=canary)
    if are_two(approvers):
        start(batch, reference(db, name), fields, approvers, now)


def gather(
    batch: firestore.WriteBatch,
    db: firestore.Client,
    name: str,
    campaign: Campaign,
    now: datetime,
    approvers: Collection[str] = (),
    *,
    canary: bool = True,
) -> None:
    """Open a campaign for a list, as part of `batch`: `enlist` everybody, then `freeze` it, and it starts.

    Without two approvers two people have to send it then. A second one of that name fails the batch. Raises
    ValueError if facts are missing that `campaign.sample` should give, LookupError.
    """
    fields = {"audience": Audience.LISTED.value, "closed": False, "newcomersUntil": None}
    _open(batch, reference(db, name), campaign, now, approvers, **fields, canary=canary)


def enlist(
    batch: firestore.WriteBatch, platform: Platform[Settings], uid: str, name: str, facts: Mapping[str, str]
) -> None:
    """Put somebody on the list of a campaign that is not frozen yet, as part of `batch`, which may be a transaction.

    `facts` are this person's own, beside the campaign's, and are kept below their profile. Again is as good as once.
    The caller makes sure that they are not being erased.
    """
    row = deliveries.row(platform, uid, name, facts, platform.clock(), due=None, campaign=name)
    batch.set(deliveries.row_of(platform.db, uid, name), row)


def freeze(db: firestore.Client, name: str, now: datetime) -> None:
    """Close the list of a campaign, and start it if two people approved it. Again, nothing happens."""

    def body(transaction: firestore.Transaction) -> None:
        stored = reference(db, name).get(transaction=transaction)
        fields: dict[str, Any] = stored.to_dict() or {}
        if fields["closed"]:
            return
        transaction.update(stored.reference, {"closed": True})
        if are_two(fields["approvers"]):
            start(transaction, stored.reference, fields, fields["approvers"], now)

    transact(db, body)


def start(
    batch: firestore.WriteBatch,
    campaign: firestore.DocumentReference,
    fields: dict[str, Any],
    approvers: Collection[str],
    now: datetime,
) -> None:
    """Have the members of a proposed campaign of these `fields` told, or the first hundredth of them, and log that it
    is so, as part of `batch`, which may be a transaction."""
    canary, shards = fields["canary"], campaign.collection(deliveries.SHARDS)
    state = State.CANARY if canary else State.RUNNING
    started = {"state": state.value, "startedAt": now, "approvers": list(approvers)}
    batch.update(campaign, started | deliveries.going(now))
    batch.create(shards.document(deliveries.OPENING), deliveries.shard(now, "", None))
    for number in range(deliveries.LANES if Channel.EMAIL in fields["channels"] else 0):
        batch.create(shards.document(f"{deliveries.LANE}{number}"), jobs.opened(now, counts={}))
    record = {"campaign": campaign.id, "canary": canary, "approvers": list(approvers)}
    tlog.append(batch, campaign._client, tlog.Entry(tlog.Action.CAMPAIGN_STARTED, record, now))


def tell(
    batch: firestore.WriteBatch,
    platform: Platform[Settings],
    uid: str,
    name: str,
    kind: Kind,
    facts: Mapping[str, str],
    now: datetime,
    channels: Collection[Channel] = (Channel.IN_APP,),
) -> None:
    """Tell one person, as part of `batch`, which may be a transaction: at once in the application, soon by a letter.

    A second letter of that name fails the batch. The caller makes sure that they are not being erased. Raises
    ValueError, LookupError.
    """
    notice = messages.render(kind, facts).notice
    if Channel.IN_APP in channels:
        inbox.write(batch, platform.db, uid, name, notice, now)
    if Channel.EMAIL in channels:
        row = deliveries.row(platform, uid, name, facts, now, due=now, campaign=None)
        batch.create(deliveries.row_of(platform.db, uid, name), row | {"kind": kind.value})


def completed_at(db: firestore.Client, name: str, transaction: firestore.Transaction | None = None) -> datetime | None:
    """When every member of a campaign had been told; None if that is not so, or there is none of that name."""
    stored = reference(db, name).get(["completedAt"], transaction=transaction).to_dict() or {}
    found: datetime | None = stored.get("completedAt")
    return found


def pending(
    db: firestore.Client, now: datetime, transaction: firestore.Transaction | None = None
) -> list[tuple[str, Notice]]:
    """What somebody who signs up at `now` must be told: names and notices, to be written in the transaction that asks.

    So is told who is in no cohort because they were not there yet. Who signs up while one is frozen may be told both
    ways, which is one notice: its name is the same. Of one that is stopped they are told once it goes on: see
    `deliveries.open_newcomers`.
    """
    live = db.collection(CAMPAIGNS).where(filter=firestore.FieldFilter("newcomersUntil", ">", now))
    found = ((stored.id, stored.to_dict() or {}) for stored in live.get(transaction=transaction))
    return [
        (name, messages.render(Kind(fields["kind"]), fields["facts"]).notice)
        for name, fields in found
        if fields["state"] not in (State.PROPOSED, State.STOPPED)
    ]


def tell_newcomers(batch: firestore.WriteBatch, db: firestore.Client, name: str, until: datetime) -> None:
    """Have who signs up told until then, as part of `batch`."""
    batch.update(reference(db, name), {"newcomersUntil": until})


def pending_stop(transaction: firestore.Transaction, db: firestore.Client, name: str) -> PendingWrite:
    """Read how far a campaign is. Return the write that stops it for good.

    Nobody is told of it from then on, nor who signs up; of one that is complete, only these are left.
    """
    stored = reference(db, name).get(["state"], transaction=transaction)
    for_good = {"state": State.STOPPED.value, "stoppedIn": None}
    changes = {} if stored.get("state") == State.COMPLETE else for_good
    return PendingWrite(lambda: transaction.update(stored.reference, {"newcomersUntil": None, **changes}))


def are_two(approvers: Collection[str]) -> bool:
    """Whether these are enough to send something to many."""
    return len(set(approvers)) >= _MIN_APPROVERS


def _open(
    batch: firestore.WriteBatch,
    campaign: firestore.DocumentReference,
    what: Campaign,
    now: datetime,
    approvers: Collection[str],
    **more: Any,
) -> dict[str, Any]:
    fields = {
        "kind": what.kind.value,
        "facts": dict(what.facts),
        "sample": dict(what.sample),
        "textSha256": messages.render(what.kind, {**what.facts, **what.sample}).sha256,
        "channels": [channel.value for channel in what.channels],
        "state": State.PROPOSED.value,
        "approvers": list(approvers),
        "counts": {},
        "createdAt": now,
    }
    times = ("startedAt", "stoppedAt", "goingSince", "frozenAt", "completedAt")
    nothing_yet = (*times, "stoppedIn", "goingFrom", "count", "root")
    opened = fields | more | dict.fromkeys(nothing_yet)
    batch.create(campaign, opened)
    return opened
