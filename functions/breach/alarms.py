"""The clocks of open incidents call at half of their time, at four fifths, at 95 %, and once they are overdue."""

import logging
from typing import Any

from google.cloud import firestore

from astra import breach_words, campaigns, clocks, incidents, log, tlog
from astra.clock import iso
from astra.clocks import ALARMS, Running
from astra.incidents import State
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.settings import BreachSettings
from astra.transactions import transact

_LETTER_FROM = 80
_OVERDUE = 100


def sound(platform: Platform[BreachSettings]) -> None:
    """Look at every open incident's clocks. One that fails keeps no other from calling."""
    for stored in incidents.open_ones(platform.db):
        if stored.get("state") == State.CONFIRMED:
            try:
                _note_told(platform, stored)
                _sound(platform, stored.reference)
            except Exception as error:  # noqa: BLE001
                log.failure(log.Event.FAILED, error)


def _note_told(platform: Platform[BreachSettings], stored: "firestore.DocumentSnapshot[Any]") -> None:
    """Note when everybody had been told: that meets the clocks of people, and starts others."""
    fields = stored.to_dict() or {}
    if fields.get("notice") and not fields.get("peopleToldAt"):
        at = campaigns.completed_at(platform.db, breach_words.campaign_of(stored.id))
        if at:
            stored.reference.update({"peopleToldAt": at})


def _sound(platform: Platform[BreachSettings], document: firestore.DocumentReference) -> None:
    db, now = platform.db, platform.clock()

    def body(transaction: firestore.Transaction) -> list[tuple[Running, int]]:
        incident: dict[str, Any] = document.get(transaction=transaction).to_dict() or {}
        alarms: dict[str, list[int]] = incident.get("alarms") or {}
        new = []
        for one in clocks.running(incident):
            called = alarms.get(one.clock.name, [])
            if due := [alarm for alarm in _passed(one, now) if alarm not in called]:
                alarms = {**alarms, one.clock.name: [*called, *due]}
                new.append((one, due[-1]))
        if not new:
            return []
        people = incidents.called(platform, now, transaction)
        by_letter = any(alarm >= _LETTER_FROM for _, alarm in new)
        transaction.update(document, {"alarms": alarms} | ({"alertDue": True} if by_letter else {}))
        for one, alarm in new:
            record = {"incident": document.id, "clock": one.clock.name, "percent": alarm}
            tlog.append(transaction, db, tlog.Entry(tlog.Action.CLOCK_ALARMED, record, now))
            late = "overdue" if alarm == _OVERDUE else f"{alarm} % of the time is over"
            name, title = f"clock-{document.id}-{one.clock.name}-{alarm}", f"{one.clock.name}: {late}"
            text = f"{one.clock.recipient} must be told by {iso(one.due)} ({one.clock.source})."
            incidents.tell_staff(transaction, platform, people, name, title, text, now)
        return new

    for _, alarm in transact(db, body):
        level = logging.CRITICAL if alarm == _OVERDUE else logging.ERROR
        log.write(log.Event.CLOCK_ALARM, severity=level, incident=Pseudonym(document.id), percent=alarm)


def _passed(one: Running, now: Any) -> list[int]:
    if one.met is not None:
        return []
    share = one.share(now)
    return [alarm for alarm in ALARMS if (one.is_overdue(now) if alarm == _OVERDUE else share >= alarm)]
