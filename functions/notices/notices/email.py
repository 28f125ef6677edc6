"""E-mail delivery: one worker and one connection a lane.

A page of letters is claimed in a transaction, so that a second worker finds none of them due. Just before each is sent
its campaign and its person are read again: nothing goes out after a campaign was stopped or somebody asked to be
erased, but for the letter that is on its way. What became of a letter is recorded before the next is sent: a worker
that is killed in between has sent one that nobody knows of. It goes out again, under the same Message-ID.

A letter that is refused is about its mailbox: for now, and it is tried again, later each time; or for good. So is one
on which the connection breaks once its mailbox was named, or that can't be written: it waits behind the others, who go
on, over a new connection if need be. A server that can't be reached, or wants none of us, is about no letter: all are
given back, and the whole lane waits, longer each time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra.jobs import Atomic, Pause
from astra.notices import inbox
from astra.notices import smtp as notices_smtp
from astra.notices.campaigns import State
from astra.notices.deliveries import DELIVERIES, LANE, SHARDS, DeliveryState
from astra.notices.inbox import Kind
from astra.runtime import log
from astra.runtime.documents import count, fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit, TooMany, Unknown

from notices import delivery_status
from notices.in_app import ENDED, PARKED, complete
from notices.settings import CampaignSettings

_PAGE_LETTERS: Final = 100
_CLAIM_DURATION: Final = timedelta(minutes=4)
"""Less than a job's lease: whoever may claim a letter again has the lane."""
_ANSWER_TIMEOUT: Final = timedelta(minutes=2, seconds=30)
"""For the answer to a letter. SMTP would grant ten minutes (RFC 5321, 4.5.3.2.6), a lane's lease is five."""
_SENDING_TIMEOUT: Final = _ANSWER_TIMEOUT + timedelta(seconds=30)
"""What one letter may take, with the answers before. So much must be left of a claim, or it fell due while under way;
the first minute is for connecting and for the letters before."""
_MAX_ATTEMPTS: Final = 8
_MAX_DELAY: Final = timedelta(hours=4)
_MAX_DOUBLINGS: Final = 16
_BUDGET_WINDOW: Final = timedelta(minutes=1)
_OPEN_STATES: Final = (State.CANARY, State.WAITING, State.RUNNING)
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
        self, platform: Platform[CampaignSettings], lane: str, campaign: firestore.DocumentReference | None
    ) -> None:
        self._platform, self._db = platform, platform.db
        self._lane, self._campaign = lane, campaign

    def page(self, job: Changes) -> Changes | Pause | Atomic:
        """Send the next letters, or find out whether there are any left."""
        claimed = transact(self._db, self._claim)
        if not claimed:
            return self._idle()
        url = self._platform.settings.smtp_url.get_secret_value()
        try:
            while claimed:
                with notices_smtp.connected(url, _ANSWER_TIMEOUT) as smtp:
                    self._send_all(smtp, claimed)
        except _Stopped:
            self._give_back(claimed)
        except notices_smtp.FAILURES as error:
            self._give_back(claimed)
            downs = job.get("downs", 0) + 1
            log.failure(log.Event.MAIL_DOWN, error, times=downs)
            return Pause({"downs": downs}, self._platform.clock() + self._delay(downs))
        return {"downs": 0}

    def _claim(self, transaction: firestore.Transaction) -> list[_Claimed]:
        now = self._platform.clock()
        if self._campaign and self._campaign.get(["state"], transaction=transaction).get("state") not in _OPEN_STATES:
            return []
        due = self._rows().where(filter=firestore.FieldFilter("nextRunAt", "<=", now)).order_by("nextRunAt")
        found = due.limit(_PAGE_LETTERS).get(transaction=transaction)
        for row in found:
            transaction.update(row.reference, {"nextRunAt": now + _CLAIM_DURATION, "attempts": row.get("attempts") + 1})
        return [_Claimed(row.reference, row.to_dict() or {}, now + _CLAIM_DURATION) for row in found]

    def _rows(self) -> firestore.Query:
        return self._db.collection_group(DELIVERIES).where(filter=firestore.FieldFilter("lane", "==", self._lane))

    def _send_all(self, smtp: notices_smtp.Connection, claimed: list[_Claimed]) -> None:
        """Send letters while the connection lasts. Raises _Stopped, and FAILURES of SMTP if it did not
        last for one."""
        is_new = True
        while claimed:
            try:
                self._send(smtp, claimed[0])
            except notices_smtp.FAILURES:
                if is_new:
                    raise
                return
            claimed.pop(0)
            is_new = False

    def _send(self, smtp: notices_smtp.Connection, claimed: _Claimed) -> None:
        """Send one letter, and record what became of it. Raises _Stopped, and notices_smtp.FAILURES."""
        row, settings = claimed.row, self._platform.settings
        person_and_tombstone = inbox.reads(self._platform, delivery_status.person_of(row))
        profile, tombstone, *campaign = fetch(
            self._db, *person_and_tombstone, *([self._campaign] if self._campaign else [])
        )
        told, person = (campaign[0].to_dict() or {} if campaign else {}), profile.to_dict() or {}
        if (
            campaign and told["state"] not in _OPEN_STATES
        ) or self._platform.clock() + _SENDING_TIMEOUT > claimed.until:
            raise _Stopped
        # Of their own erasure somebody is told while there still is an address to tell them at.
        of_erasure = claimed.fields.get("kind") == Kind.ERASURE and profile.exists
        if not (of_erasure or inbox.reachable(profile, tombstone)):
            delivery_status.settle(self._platform, row, DeliveryState.GONE)
            return
        to = person.get("email") or ""
        try:
            letter = delivery_status.letter_of(claimed.fields, told)
            text, key = letter.notice.body + "\n", claimed.fields["key"]
            composed = notices_smtp.compose(settings.mail_from, to, letter.notice.title, text, key, letter.html)
            domain = to.rpartition("@")[2].lower()
            self._platform.limits.admit(
                domain, "letters", Limit(settings.letters_a_minute, _BUDGET_WINDOW, fails_closed=True)
            )
            notices_smtp.deliver(smtp, composed)
        except TooMany as many:
            self._defer(claimed, many.retry_after)
        except Unknown:  # uncounted, all lanes at full speed would have our address blocked
            self._defer(claimed, _BUDGET_WINDOW)
        except notices_smtp.Undeliverable as refused:
            if refused.for_good:
                delivery_status.settle(self._platform, row, DeliveryState.BOUNCED, refused.code)
            else:
                self._try_again(claimed, refused.code)
        except notices_smtp.FAILURES:
            raise
        except Exception as error:  # noqa: BLE001  (a letter that can't be written must not keep back the others)
            log.failure(log.Event.FAILED, error)
            self._try_again(claimed)
        else:
            delivery_status.settle(self._platform, row, DeliveryState.ACCEPTED)

    def _try_again(self, claimed: _Claimed, code: int | None = None) -> None:
        """Later, and not without end."""
        attempts = claimed.fields["attempts"] + 1
        if attempts >= _MAX_ATTEMPTS:
            delivery_status.settle(self._platform, claimed.row, DeliveryState.FAILED, code)
            return
        due = {"nextRunAt": self._platform.clock() + self._delay(attempts)}
        self._postpone(claimed, due | ({"code": code} if code else {}))

    def _delay(self, times: int) -> timedelta:
        """After so many failures."""
        return _doubled(self._platform.settings.retry_delay, times)

    def _defer(self, claimed: _Claimed, window: timedelta) -> None:
        """A domain has had enough for now. The more often, the later: or all its letters came up every minute."""
        deferred = claimed.fields["deferred"] + 1
        delay = window - _BUDGET_WINDOW + _doubled(_BUDGET_WINDOW, deferred)
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
            siblings = read[0].reference.collection(SHARDS).get(transaction=transaction) if read else []
            more_come = any(one.get("state") != "ended" for one in siblings if not one.id.startswith(LANE))
            soon = now + self._platform.settings.retry_delay
            later = self._rows().where(filter=firestore.FieldFilter("nextRunAt", ">", _EPOCH)).order_by("nextRunAt")
            for row in later.limit(1).get(transaction=transaction):
                due = max(row.get("nextRunAt"), now)
                return {"nextRunAt": min(due, soon) if more_come else due}
            if not read or state == State.WAITING:
                return PARKED  # until there is something to send again: see `campaign_requests` and `dispatch.deliver`
            if more_come:
                return {"nextRunAt": soon}
            changes = {**ENDED, "counts": self._counts(transaction)}
            complete(transaction, read[0], siblings, self._lane.rpartition("/")[2], changes, now)
            return changes

        return Atomic(write, (self._campaign,) if self._campaign else ())

    def _counts(self, transaction: firestore.Transaction) -> dict[str, int]:
        """What became of the lane's letters."""
        left = [state.value for state in DeliveryState if state is not DeliveryState.GONE]
        states = {state: firestore.FieldFilter("state", "==", state) for state in left}
        counts = {state: count(self._rows().where(filter=is_so), transaction) for state, is_so in states.items()}
        return {state: many for state, many in counts.items() if many}


def _doubled(delay: timedelta, times: int) -> timedelta:
    """`delay` the first time, and then twice as long each time."""
    return min(delay * (1 << min(times - 1, _MAX_DOUBLINGS)), _MAX_DELAY)
