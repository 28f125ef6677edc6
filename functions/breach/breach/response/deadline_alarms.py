"""Deadline alarms: staff are alerted at 50, 80, 95 and 100 % of a deadline.

Each mark calls once for one due time. Where the law lets us wait after all, or no longer, a clock is due at another: a
mark that is ahead again will call again.
"""

import logging
from datetime import datetime
from typing import Any

from google.cloud import firestore

from astra import tlog
from astra.notices import campaigns
from astra.runtime import log
from astra.runtime.clock import iso
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import MailSettings

from breach import deadlines, incidents, texts
from breach.deadlines import OVERDUE, Running
from breach.incidents import State

_LETTER_FROM = 80


def sound(platform: Platform[MailSettings]) -> None:
    """Look at every open incident's clocks. One that fails keeps no other from calling."""
    for stored in incidents.open_ones(platform.db):
        if stored.get("state") == State.CONFIRMED:
            try:
                _note_told(platform, stored)
                _sound(platform, stored.reference)
            except Exception as error:  # noqa: BLE001
                log.failure(log.Event.FAILED, error)


def _note_told(platform: Platform[MailSettings], stored: "firestore.DocumentSnapshot[Any]") -> None:
    """Note when everybody had been told: that meets the clocks of people, and starts others."""
    fields = stored.to_dict() or {}
    if fields.get("notice") and not fields.get("peopleToldAt"):
        at = campaigns.completed_at(platform.db, texts.campaign_of(stored.id))
        if at:
            stored.reference.update({"peopleToldAt": at})


def _sound(platform: Platform[MailSettings], document: firestore.DocumentReference) -> None:
    db, now = platform.db, platform.clock()

    def body(transaction: firestore.Transaction) -> list[tuple[Running, int]]:
        incident: dict[str, Any] = document.get(transaction=transaction).to_dict() or {}
        alarms, new = _due(incident, now)
        if alarms == incident["alarms"]:
            return []
        people = incidents.called(platform, now, transaction) if new else []
        loud = [(one, alarm) for one, alarm in new if alarm >= _LETTER_FROM]
        rows = [{"clock": one.clock.name, "percent": alarm, "due": one.due} for one, alarm in loud]
        letter = incidents.alerted(incident, {"of": "clocks", "clocks": rows}) if loud else {}
        transaction.update(document, {"alarms": alarms} | letter)
        for one, alarm in new:
            record = {"incident": document.id, "clock": one.clock.name, "percent": alarm, "due": iso(one.due)}
            tlog.append(transaction, db, tlog.Entry(tlog.Action.CLOCK_ALARMED, record, now))
            name = f"clock-{document.id}-{one.clock.name}-{alarm}-{one.due:%Y%m%dT%H%M%S}"
            title, text = f"{one.clock.name}: {deadlines.mark(alarm)}", one.clock.owed(one.due)
            incidents.tell_staff(transaction, platform, people, name, title, text, now)
        return new

    for _, alarm in transact(db, body):
        level = logging.CRITICAL if alarm == OVERDUE else logging.ERROR
        log.write(log.Event.CLOCK_ALARM, severity=level, incident=Pseudonym(document.id), percent=alarm)


def _due(incident: dict[str, Any], now: datetime) -> tuple[dict[str, dict[str, Any]], list[tuple[Running, int]]]:
    """Which marks of each clock have called for which due time, with those that call now; and of these the last of each
    clock."""
    alarms, new = {**incident["alarms"]}, []
    for one in deadlines.running(incident):
        if one.met is not None:
            continue
        before, passed = alarms.get(one.clock.name, {"due": one.due, "called": []}), one.passed(now)
        called = [alarm for alarm in before["called"] if before["due"] == one.due or alarm in passed]
        if due := [alarm for alarm in passed if alarm not in called]:
            new.append((one, due[-1]))
        if before["called"] or due:
            alarms[one.clock.name] = {"due": one.due, "called": [*called, *due]}
    return alarms, new
