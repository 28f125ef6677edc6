"""In-app delivery: freezes a campaign's cohort and notifies its members, by ranges.

See `astra.notices.campaigns` for the documents, and for why everybody is told once.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra import tlog
from astra.accounts.honeytokens import is_honey
from astra.jobs import Atomic
from astra.notices import deliveries, inbox, messages
from astra.notices.campaigns import Audience, Channel, State
from astra.notices.deliveries import DELIVERIES, LANE, NEWCOMERS, OPENING, SHARDS, DeliveryState
from astra.notices.inbox import Kind
from astra.runtime import documents
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

from notices.cohort import Everybody, Listed, Member, Members, Newcomers

_MAX_PAGE_MEMBERS: Final = 4_000
"""Members, at most: whatever is read for a page is read for all of them."""
_MAX_PAGE_MEMBERS_WITH_ROWS: Final = 400
"""Members of a page that writes more than a notice for each."""
_MAX_PAGE_BYTES: Final = 6 * 1024 * 1024
"""Of a page's notices, each with its path and its index entries: a transaction may weigh 10 MiB."""
_NOTICE_OVERHEAD_BYTES: Final = 1_100
_MAX_OWN_FACTS_BYTES: Final = 4_000
"""What somebody on a list is told alone: at most of every entry of the data map, a line each."""
_CANARY_MEMBERS: Final = 100
_POLL_DELAY: Final = timedelta(seconds=30)
_NOBODY: Final = "nobody"
"""Counts who was counted in the cohort and is honey: there is nobody to tell, and nobody gone."""
_MORE: Final = "more"
"""Counts who came after the cohort was."""
ENDED: Final = {"state": "ended", "nextRunAt": None}
PARKED: Final = {"nextRunAt": None}
"""It goes on when somebody says so."""

Changes = dict[str, Any]


class Telling:
    """The pages of one job of one campaign."""

    def __init__(self, platform: Platform[Settings], campaign: firestore.DocumentReference, job: str) -> None:
        self._platform = platform
        self._db = platform.db
        self._campaign = campaign
        self._job = job
        self._members: Members | None = None
        self._most = _MAX_PAGE_MEMBERS

    def page(self, job: dict[str, Any]) -> Changes | Atomic:
        """Freeze the cohort, or tell the next members of a range."""
        if self._job == OPENING and "left" not in job:
            return self._freeze()
        members = self._members = self._members or self._cohort(job)
        most = min(self._most, job.get("left", self._most))
        members.prepare(job, most)
        return Atomic(lambda transaction, read: self._tell(transaction, read[0], job, most), (self._campaign,))

    def _cohort(self, job: dict[str, Any]) -> Members:
        fields = self._campaign.get().to_dict() or {}
        self._most = _size(fields)
        if self._job.startswith(NEWCOMERS):
            self._most = min(self._most, _MAX_PAGE_MEMBERS_WITH_ROWS)
            return Newcomers(self._platform, self._campaign.id, job["since"], job["until"])
        if fields["audience"] == Audience.LISTED:
            return Listed(self._platform, self._campaign.id)
        return Everybody(self._platform, fields["frozenAt"])

    def _freeze(self) -> Atomic:
        """Count the cohort: whoever is there by now. Later ones were told when they came; see `campaigns.pending`."""
        fields, now = self._campaign.get().to_dict() or {}, self._platform.clock()
        members: firestore.Query = self._db.collection("users").order_by("__name__")
        if fields["audience"] == Audience.LISTED:
            on_list = firestore.FieldFilter("campaign", "==", self._campaign.id)
            members = self._db.collection_group(DELIVERIES).where(filter=on_list)
        count = documents.count(members)

        def write(transaction: firestore.Transaction, _: object) -> Changes:
            transaction.update(self._campaign, {"frozenAt": now, "count": count})
            if fields["canary"] or count <= deliveries.MAX_MEMBERS_OF_ONE_JOB:
                return {"left": max(1, math.ceil(count / _CANARY_MEMBERS)) if fields["canary"] else count + 1}
            deliveries.open_ranges(transaction, self._campaign, count, "", now)
            return {"left": 0, **ENDED}

        return Atomic(write)

    def _tell(
        self,
        transaction: firestore.Transaction,
        stored: "firestore.DocumentSnapshot[Any]",
        job: dict[str, Any],
        most: int,
    ) -> Changes:
        campaign = stored.to_dict() or {}
        if campaign["state"] not in (State.CANARY, State.RUNNING) or self._members is None:
            return PARKED
        siblings, are_newcomers = stored.reference.collection(SHARDS), self._job.startswith(NEWCOMERS)
        # Last of all: whoever else is told by then has a notice or a letter.
        if are_newcomers and _are_going(siblings.get(transaction=transaction)):
            return {"nextRunAt": self._platform.clock() + _POLL_DELAY}
        found, cursor = self._members.page(transaction, job, most)
        jobs_ = siblings.get(transaction=transaction) if cursor is None else []
        # From here on it only writes.
        counts = Counter(job["counts"])
        if are_newcomers:
            counts[_MORE] += sum(not member.is_late for member in found)
        told = self._write(transaction, campaign, found, counts)
        root = _chained(job["root"], map(self._platform.pseudonyms.of_uid, told))
        changes: Changes = {"cursor": cursor, "root": root, "counts": dict(counts)}
        if "left" in job:
            changes["left"] = job["left"] - len(found)
        if cursor is None:
            changes |= ENDED
            complete(transaction, stored, jobs_, self._job, changes, self._platform.clock())
        elif changes.get("left") == 0:
            changes |= ENDED
            self._open_the_rest(transaction, campaign, cursor)
        return changes

    def _open_the_rest(self, transaction: firestore.Transaction, campaign: dict[str, Any], after: str) -> None:
        """The first members are told: ask two people, or go on."""
        if campaign["state"] == State.CANARY:
            transaction.update(self._campaign, {"state": State.WAITING.value})
        else:
            now = self._platform.clock()
            deliveries.open_ranges(transaction, self._campaign, campaign["count"], after, now)

    def _write(
        self,
        transaction: firestore.Transaction,
        campaign: dict[str, Any],
        members: list[Member],
        counts: "Counter[str]",
    ) -> list[str]:
        """Tell them, or have a letter sent to them, and count that. Answers the account ids of those."""
        now, name, kind = self._platform.clock(), self._campaign.id, Kind(campaign["kind"])
        in_app, by_mail = (channel in campaign["channels"] for channel in (Channel.IN_APP, Channel.EMAIL))
        honey = {member.uid for member in members if is_honey(self._platform.pseudonyms, member.uid)}
        if frozen := sum(member.uid in honey and not member.is_late for member in members):
            counts[_NOBODY] += frozen
        members = [member for member in members if member.uid not in honey]
        reached = [member for member in members if not (member.is_gone or member.is_late)]
        counts["gone"] += sum(member.is_gone for member in members)
        # No letter to who is frozen: they find the notice if they come back.
        told = [member for member in reached if in_app or not member.is_active]
        counts["told"] += len(told)
        counts["queued"] += len(reached) - len(told)
        if campaign["audience"] == Audience.EVERYBODY:
            notice, uids = messages.render(kind, campaign["facts"]).notice, (member.uid for member in told)
            inbox.write_to_all(transaction, self._db, uids, name, notice, now, campaign=name)
            for member in reached if by_mail else ():
                if member.is_active:
                    row = deliveries.row(self._platform, member.uid, name, {}, now, due=now, campaign=name)
                    transaction.set(deliveries.row_of(self._db, member.uid, name), row)
            return [member.uid for member in reached]
        for member in told:
            notice = messages.render(kind, campaign["facts"] | (member.facts or {})).notice
            inbox.write(transaction, self._db, member.uid, name, notice, now, campaign=name)
        for member in members:
            gone, letter = {"state": DeliveryState.GONE.value}, {"nextRunAt": now}
            # A list is of those whom it concerns: who is frozen gets their letter, it may be to contain that breach.
            done = gone if member.is_gone else letter if by_mail else {"state": DeliveryState.DELIVERED.value}
            transaction.update(deliveries.row_of(self._db, member.uid, name), done)
        return [member.uid for member in reached]


def _are_going(shards: "Iterable[firestore.DocumentSnapshot[Any]]") -> bool:
    """Whether there is still somebody of the cohort to be told."""
    of_cohort = (shard for shard in shards if not shard.id.startswith((LANE, NEWCOMERS)))
    return any(shard.get("state") != "ended" for shard in of_cohort)


def complete(
    transaction: firestore.Transaction,
    stored: "firestore.DocumentSnapshot[Any]",
    siblings: "list[firestore.DocumentSnapshot[Any]]",
    own: str,
    changes: Changes,
    now: datetime,
) -> None:
    """The job `own` ends with `changes`: if it is the last of its campaign, every member is terminal, and that is
    written and logged in the same transaction. `siblings` are all of its jobs, as read there."""
    jobs_ = {sibling.id: sibling.to_dict() or {} for sibling in siblings}
    jobs_[own] = jobs_.get(own, {}) | changes
    if any(job["state"] != "ended" for job in jobs_.values()):
        if own == OPENING:  # there was nobody left for a second part: letters are still to be sent
            transaction.update(stored.reference, {"state": State.RUNNING.value})
        return
    counts = sum((Counter(job["counts"]) for job in jobs_.values()), Counter[str]())
    members, count = ("told", "queued", "gone"), stored.get("count") + counts.pop(_MORE, 0) - counts.pop(_NOBODY, 0)
    # Whoever was counted and never met has been erased since.
    counts["gone"] += max(0, count - sum(counts[name] for name in members))
    in_order = sorted(jobs_.items(), key=lambda job: (job[0] != OPENING, job[0]))
    roots = b"".join(bytes.fromhex(job["root"]) for _, job in in_order if "root" in job)
    root = hashlib.sha256(roots).hexdigest()
    found = {"count": count, "counts": dict(counts), "root": root}
    transaction.update(stored.reference, found | {"state": State.COMPLETE.value, "completedAt": now})
    record = {"campaign": stored.id} | found
    db: Any = stored.reference._client
    tlog.append(transaction, db, tlog.Entry(tlog.Action.CAMPAIGN_COMPLETED, record, now))


def _size(campaign: dict[str, Any]) -> int:
    """How many members a page has: by how much it writes for each, however they are told."""
    facts = campaign["facts"].values()
    weight = len(messages.text_source(campaign["kind"]).encode()) + sum(len(one.encode()) for one in facts)
    if campaign["audience"] == Audience.LISTED or Channel.EMAIL in campaign["channels"]:
        return min(
            _MAX_PAGE_MEMBERS,
            _MAX_PAGE_MEMBERS_WITH_ROWS,
            max(1, _MAX_PAGE_BYTES // (weight + _MAX_OWN_FACTS_BYTES + 2 * _NOTICE_OVERHEAD_BYTES)),
        )
    return min(_MAX_PAGE_MEMBERS, max(1, _MAX_PAGE_BYTES // (weight + _NOTICE_OVERHEAD_BYTES)))


def _chained(root: str, names: Iterable[str]) -> str:
    for name in names:
        root = hashlib.sha256(bytes.fromhex(root + name)).hexdigest()
    return root
