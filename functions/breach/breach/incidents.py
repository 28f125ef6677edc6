"""Incidents: their documents, states and queries.

    incidents/{id}              {state, severity, detector, about, detectedAt, firstSignalAt, lastSignalAt, closedAt,
                                 signals: {id: {at, what, insertId, severity, count?, threshold?}}, said: {…},
                                 measures: {name: {measure, at, by, undoneAt}}, falseAlarm, reopened: how often,
                                 alarms: {clock: {due, called: [per cent]}},
                                 alertDue, alerts: [{of: case} or {of: clocks, clocks: [{clock, percent, due}]}]}
        once confirmed          awareAt, occurredFrom, occurredUntil, keysExposed, credentialsExposed, everybodys,
                                peopleKnown, …
        once counted            affected {jurisdiction: people} (null: not known), exposed [entry], numbers {people, …}
                                ruledOut {reason, at, by} if two people are sure that nobody is
        as it goes on           met {clock: {at}}, filings {clock: {n: …}}, delay, notice, peopleToldAt
    incidents/{id}/filings/{n}  what regulators were told, word for word

`state` is suspected, confirmed or closed; what was done to contain it is in `measures`; `alerts` are the letters that
staff are owed while `alertDue` is true. Nothing in here says whose data it is: people are in their own documents
(`users/{uid}/exposures/{id}`), and staff under keyed pseudonyms.
"""

import enum
from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra import staff
from astra.notices import inbox
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from astra.staff import Role

INCIDENTS: Final = "incidents"
EXPOSURES: Final = "exposures"
MAX_SIGNALS: Final = 50
_CALLED: Final = (Role.SECURITY, Role.CTO)


class State(enum.StrEnum):
    """How far one is."""

    SUSPECTED = "suspected"
    """Something was seen or reported. No clock runs: nobody knows yet that it is a breach."""
    CONFIRMED = "confirmed"
    CLOSED = "closed"


class Cohort(enum.StrEnum):
    """How far it is computed who is affected."""

    GATHERING = "gathering"
    """Evidence is read."""
    SORTING = "sorting"
    """Evidence is complete: whose data was opened and whose stayed sealed is being told apart."""
    FROZEN = "frozen"
    """It is counted who is affected; until a notice is approved, somebody may have it counted again, wider."""
    ENLISTING = "enlisting"
    """The notice is approved: the campaign is given its people."""
    TELLING = "telling"
    """The campaign runs, or has run."""


def reference(db: firestore.Client, name: str) -> firestore.DocumentReference:
    """Where an incident is kept."""
    return db.collection(INCIDENTS).document(name)


def cohort_job(db: firestore.Client, name: str) -> firestore.DocumentReference:
    """The job that computes who is affected, and gives them to the campaign."""
    return db.document(INCIDENTS, name, "work", "cohort")


def opened(**fields: Any) -> dict[str, Any]:
    """The fields of a new one: detector, about, severity, detectedAt, signals."""
    return {
        "state": State.SUSPECTED.value,
        "alertDue": True,
        "alerts": [{"of": "case"}],
        "closedAt": None,
        "measures": {},
        "alarms": {},
        "said": {},
        **fields,
    }


def alerted(incident: dict[str, Any], letter: dict[str, Any]) -> dict[str, Any]:
    """The changes by which staff are owed this letter, beside those that they are owed already."""
    due = incident["alerts"] if incident["alertDue"] else []
    return {"alertDue": True, "alerts": [*(one for one in due if one != letter), letter]}


def open_ones(db: firestore.Client) -> "list[firestore.DocumentSnapshot[Any]]":
    """Everything that is not closed, the gravest first and then the oldest."""
    still = firestore.FieldFilter("state", "in", [State.SUSPECTED.value, State.CONFIRMED.value])
    found = db.collection(INCIDENTS).where(filter=still).get()
    return sorted(found, key=lambda one: (one.get("severity"), one.get("detectedAt")))


def tell_staff(
    transaction: firestore.Transaction,
    platform: Platform[Settings],
    people: list[staff.Member],
    name: str,
    title: str,
    body: str,
    now: datetime,
) -> None:
    """Tell who answers for security, in the application. Users are told by two people's approval and nothing else."""
    for member in people:
        notice = inbox.Notice(inbox.Kind.STAFF, title, body)
        inbox.write(transaction, platform.db, member.uid, name, notice, now)


def called(
    platform: Platform[Settings], now: datetime, transaction: firestore.Transaction | None = None
) -> list[staff.Member]:
    """Who answers for security: reads, so before any write of its transaction."""
    found = staff.find_members(platform.db, now, *_CALLED, transaction=transaction)
    return staff.present(platform, found, transaction)
