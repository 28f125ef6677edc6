"""Letters that are due, lane by lane: one worker with one connection sends them, one after another.

A page of letters is claimed in a transaction, so that a second worker finds none of them due. Just before each is sent
its campaign and its person are read again: nothing goes out after a campaign was stopped or somebody asked to be
erased, but for the letter that is on its way. What became of a letter is recorded before the next is sent: a worker
that is killed in between has sent one that nobody knows of. It goes out again, under the same Message-ID.

A letter that is refused is about its mailbox: for now, and it is tried again, later each time; or for good. A server
that can't be reached is about no letter: all are given back, and the whole lane waits, longer each time.
"""

import smtplib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

import outcomes
from astra import log, mail, notices
from astra.campaigns import State
from astra.cohorts import DELIVERIES, LANE, LETTER_STATES, SHARDS
from astra.documents import count, fetch
from astra.jobs import Atomic, Pause
from astra.limits import Limit, TooMany
from astra.notices import Kind
from astra.platform import Platform
from astra.settings import BreachSettings
from astra.transactions import transact
from telling import ENDED, PARKED, complete

_PAGE: Final = 20
_CLAIM: Final = timedelta(minutes=4)
"""Less than a job's lease: whoever may claim a letter again has the lane."""
_MOST_ATTEMPTS: Final = 8
_LONGEST_DELAY: Final = timedelta(hours=4)
_OPEN: Final = (State.CANARY, State.WAITING, State.RUNNING)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Changes = dict[str, Any]


class _Stopped(Exception):
    """The campaign was stopped, or the claim has run out."""


@dataclass(frozen=True)
class _Claimed:
    """A letter that this worker alone may send until then."""

    row: firestore.DocumentReference
    fields: dict[str, Any]
    until: datetime


class Mailing:
    """The pages of one lane: of a campaign or, without one, of the letters to single people."""

    def __init__(
        self, platform: Platform[BreachSettings], lane: str, campaign: firestore.DocumentReference | None
    ) -> None:
        self._platform, self._db = platform, platform.db
        self._lane, self._campaign = lane, campaign

    def page(self, job: Changes) -> Changes | Pause | Atomic:
        """Send the next letters, or find out whether there are any left."""
        claimed = transact(self._db, self._claim)
        if not claimed:
            return self._idle()
        try:
            with mail.connected(self._platform.settings.smtp_url.get_secret_value()) as smtp:
                while claimed:
                    self._send(smtp, claimed[0])
                    claimed.pop(0)
        except _Stopped:
            self._give_back(claimed)
        except mail.FAILURES as error:
            self._give_back(claimed)
            downs = job.get("downs", 0) + 1
            log.failure(log.Event.MAIL_DOWN, error, times=downs)
            delay = min(self._platform.settings.retry_delay * 2 ** (downs - 1), _LONGEST_DELAY)
            return Pause({"downs": downs}, self._platform.clock() + delay)
        return {"downs": 0}

    def _claim(self, transaction: firestore.Transaction) -> list[_Claimed]:
        now = self._platform.clock()
        if self._campaign and self._campaign.get(["state"], transaction=transaction).get("state") not in _OPEN:
            return []
        due = self._rows().where(filter=firestore.FieldFilter("nextRunAt", "<=", now)).order_by("nextRunAt")
        found = list(due.limit(_PAGE).stream(transaction=transaction))
        for row in found:
            transaction.update(row.reference, {"nextRunAt": now + _CLAIM, "attempts": row.get("attempts") + 1})
        return [_Claimed(row.reference, row.to_dict() or {}, now + _CLAIM) for row in found]

    def _rows(self) -> firestore.Query:
        return self._db.collection_group(DELIVERIES).where(filter=firestore.FieldFilter("lane", "==", self._lane))

    def _send(self, smtp: smtplib.SMTP, claimed: _Claimed) -> None:
        """Send one letter, and record what became of it. Raises _Stopped, and mail.FAILURES."""
        row, settings = claimed.row, self._platform.settings
        person_and_tombstone = notices.reads(self._platform, outcomes.person_of(row))
        profile, tombstone, *campaign = fetch(
            self._db, *person_and_tombstone, *([self._campaign] if self._campaign else [])
        )
        told, person = (campaign[0].to_dict() or {} if campaign else {}), profile.to_dict() or {}
        if (campaign and told["state"] not in _OPEN) or self._platform.clock() >= claimed.until:
            raise _Stopped
        # Of their own erasure somebody is told while there still is an address to tell them at.
        of_erasure = claimed.fields.get("kind") == Kind.ERASURE and profile.exists
        if not (of_erasure or notices.reachable(profile, tombstone)):
            outcomes.settle(self._platform, row, "gone")
            return
        to = person.get("email") or ""
        try:
            letter = outcomes.letter_of(claimed.fields, told)
            text, key = letter.notice.body + "\n", claimed.fields["key"]
            composed = mail.compose(settings.mail_from, to, letter.notice.title, text, key, letter.html)
            domain = to.rpartition("@")[2].lower()
            self._platform.limits.admit(domain, "letters", Limit(settings.letters_a_minute))
            mail.deliver(smtp, composed)
        except TooMany as many:
            self._defer(claimed, many.retry_after)
        except mail.Undeliverable as refused:
            self._refused(claimed, refused)
        else:
            outcomes.settle(self._platform, row, "accepted")

    def _refused(self, claimed: _Claimed, refused: mail.Undeliverable) -> None:
        attempts = claimed.fields["attempts"] + 1
        if refused.for_good or attempts >= _MOST_ATTEMPTS:
            state = "bounced" if refused.for_good else "failed"
            outcomes.settle(self._platform, claimed.row, state, refused.code)
            return
        delay = min(self._platform.settings.retry_delay * 2 ** (attempts - 1), _LONGEST_DELAY)
        self._postpone(claimed, {"nextRunAt": self._platform.clock() + delay, "code": refused.code})

    def _defer(self, claimed: _Claimed, window: timedelta) -> None:
        """A domain has had enough for now. The more often, the later: or all its letters came up every minute."""
        deferred = claimed.fields["deferred"] + 1
        delay = min(window + timedelta(minutes=2 ** (deferred - 1) - 1), _LONGEST_DELAY)
        attempts = {"attempts": claimed.fields["attempts"], "deferred": deferred}
        self._postpone(claimed, {"nextRunAt": self._platform.clock() + delay, **attempts})

    def _give_back(self, claimed: list[_Claimed]) -> None:
        """What was not sent is due again, as if it had not been claimed."""
        for one in claimed:
            self._postpone(one, {name: one.fields[name] for name in ("nextRunAt", "attempts")})

    def _postpone(self, claimed: _Claimed, changes: Changes) -> None:
        """Unless it was settled meanwhile, or claimed by another worker, or its person has gone."""

        def body(transaction: firestore.Transaction) -> None:
            fields = claimed.row.get(transaction=transaction).to_dict() or {}
            if fields.get("nextRunAt") == claimed.until:
                transaction.update(claimed.row, changes)

        transact(self._db, body)

    def _idle(self) -> Atomic:
        """Nothing is due: wait for the next letter, for more to come, or end."""

        def write(transaction: firestore.Transaction, read: "list[firestore.DocumentSnapshot[Any]]") -> Changes:
            state, now = (read[0].get("state") if read else None), self._platform.clock()
            if state == State.STOPPED:
                return PARKED
            later = self._rows().where(filter=firestore.FieldFilter("nextRunAt", ">", _EPOCH)).order_by("nextRunAt")
            for row in later.limit(1).stream(transaction=transaction):
                return {"nextRunAt": max(row.get("nextRunAt"), now)}
            if not read or state == State.WAITING:
                return PARKED  # until there is something to send again: see `campaigning` and `fanout.tick`
            siblings = list(read[0].reference.collection(SHARDS).stream(transaction=transaction))
            if any(one.get("state") != "ended" for one in siblings if not one.id.startswith(LANE)):
                return {"nextRunAt": now + self._platform.settings.retry_delay}
            changes = {**ENDED, "counts": self._counts(transaction)}
            complete(transaction, read[0], siblings, self._lane.rpartition("/")[2], changes, now)
            return changes

        return Atomic(write, (self._campaign,) if self._campaign else ())

    def _counts(self, transaction: firestore.Transaction) -> dict[str, int]:
        """What became of the lane's letters."""
        states = {state: firestore.FieldFilter("state", "==", state) for state in LETTER_STATES if state != "gone"}
        counts = {state: count(self._rows().where(filter=is_so), transaction) for state, is_so in states.items()}
        return {state: many for state, many in counts.items() if many}
