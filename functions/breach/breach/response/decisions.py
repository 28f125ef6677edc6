"""Decisions on an incident: report, describe, delay the notice, close."""

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import AfterValidator, Field, StringConstraints

from astra import tlog
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.pseudonyms import Pseudonym
from astra.staff import freezes
from astra.staff.fields import Moment, Reference, Text, sha256_of
from astra.staff.privileged import Act, Decision, privileged

from breach import deadlines, incidents, texts
from breach.incidents import Cohort, State
from breach.response.contain import IncidentId

_MAX_DELAY: Final = timedelta(days=90)


def _without_links(text: str) -> str:
    # Whoever gets a notice must not learn to follow links in one.
    if "://" in text or "www." in text.lower():
        raise ValueError("no links: who is told of a breach must not be taught to follow them")
    return text


Passage = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=3000, pattern=r"^[^\x00-\x09\x0b-\x1f]+$"),
    AfterValidator(_without_links),
]
"""Some sentences, without links. They name nobody."""


class ReportIncident(Shape):
    """What somebody has noticed, how bad it may be (1 is worst) and when."""

    what: Text
    severity: Annotated[int, Field(ge=1, le=3)]
    noticedAt: Moment


class DescribeIncident(Shape):
    """What is said of it. Each may be said later, or anew; what people are told changes no more once it is approved."""

    incidentId: IncidentId
    nature: Text | None = None
    whatHappened: Passage | None = None
    weAreDoing: Passage | None = None
    youCanDo: Passage | None = None
    consequences: Passage | None = None
    measures: Passage | None = None
    uncertainty: Passage | None = None
    contact: Text | None = None


class DelayNotice(Shape):
    """On what basis the law lets us wait with telling people, and until when; null: not any longer."""

    incidentId: IncidentId
    basis: Text
    until: Moment | None


class CloseIncident(Shape):
    """How it ended. What was confirmed can't be a false alarm."""

    incidentId: IncidentId
    falseAlarm: bool
    reference: Reference


@privileged(tlog.Action.INCIDENT_OPENED)
def report_incident(act: Act, form: ReportIncident) -> Decision:
    """Open a case by hand: a letter, a processor's call, something odd."""
    if form.noticedAt > act.now:
        raise wrong("noticedAt: lies in the future")
    name = secrets.token_hex(10)
    people = incidents.called(act.platform, act.now, act.transaction)

    def write(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
        fields = incidents.opened(
            detector="reported",
            about=form.what,
            severity=form.severity,
            detectedAt=form.noticedAt,
            firstSignalAt=form.noticedAt,
            lastSignalAt=act.now,
            signals={},
        )
        transaction.create(incidents.reference(act.db, name), fields)
        title = f"Severity {form.severity}: reported by hand"
        incidents.tell_staff(transaction, act.platform, people, f"incident-{name}", title, form.what, act.now)

    record = {"incident": name, "severity": form.severity, "whatSha256": sha256_of(form.what)}
    return Decision(write, record, answer={"incidentId": name})


@privileged(tlog.Action.INCIDENT_DESCRIBED)
def describe_incident(act: Act, form: DescribeIncident) -> Decision:
    """Write down what is said of it."""
    incident = open_one(act, form.incidentId)
    said = form.model_dump(exclude={"incidentId"}, exclude_none=True)
    if not said:
        raise wrong("say at least one thing of it")
    if incident.get("notice"):
        told = {"whatHappened", "weAreDoing", "youCanDo", "contact"} & said.keys()
        if told:
            raise HttpsError(
                FunctionsErrorCode.FAILED_PRECONDITION, f"{', '.join(sorted(told))}: people are told this."
            )

    def write(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
        changes: dict[str, Any] = {f"said.{name}": text for name, text in said.items()}
        now_said = incident | {"said": (incident.get("said") or {}) | said}
        changes |= drafted(form.incidentId, now_said, act.now)
        transaction.update(incidents.reference(act.db, form.incidentId), changes)

    record = {"incident": form.incidentId, "saidSha256": {name: sha256_of(text) for name, text in said.items()}}
    return Decision(write, record)


@privileged(tlog.Action.NOTICE_DELAYED)
def delay_notice(act: Act, form: DelayNotice) -> Decision:
    """Record that the law lets us wait with telling people, and until then nobody approves that they are told.
    Regulators are told in time all the same."""
    confirmed_one(act, form.incidentId)
    if form.until and not act.now < form.until <= act.now + _MAX_DELAY:
        raise wrong("until: must lie in the future, at most 90 days ahead; a longer delay is renewed")

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        delay = {"basis": form.basis, "until": form.until, "at": act.now, "by": approvers[0]} if form.until else None
        transaction.update(incidents.reference(act.db, form.incidentId), {"delay": delay})

    record = {
        "incident": form.incidentId,
        "until": form.until and iso(form.until),
        "basisSha256": sha256_of(form.basis),
    }
    return Decision(write, record)


@privileged(tlog.Action.INCIDENT_CLOSED)
def close_incident(act: Act, form: CloseIncident) -> Decision:
    """Say that it is over: a false alarm, or everybody was told and nothing is frozen any more."""
    incident = open_one(act, form.incidentId)
    frozen = fetch(act.db, *(freezes.reference(act.db, one) for one in freezes.Control), transaction=act.transaction)
    confirmed = incident["state"] == State.CONFIRMED
    if confirmed == form.falseAlarm:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            "It is confirmed: no false alarm." if confirmed else "Confirm it first, or say that it is a false alarm.",
        )
    still = [one.id for one in frozen if freezes.is_frozen(one) and form.incidentId in one.get("incidents")]
    if confirmed:
        still += [one.clock.name for one in deadlines.running(incident) if one.met is None]
        is_counted = incident["cohort"] not in (Cohort.GATHERING, Cohort.SORTING)
        still += [] if is_counted and incident.get("affected") is not None else ["who is affected"]
    if still:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, f"Not yet over: {', '.join(still)}.")

    def write(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
        closed = {"state": State.CLOSED.value, "closedAt": act.now, "falseAlarm": form.falseAlarm, "alertDue": False}
        transaction.update(incidents.reference(act.db, form.incidentId), closed)

    record = {"incident": form.incidentId, "falseAlarm": form.falseAlarm, "referenceSha256": sha256_of(form.reference)}
    return Decision(write, record)


def open_one(act: Act, name: str) -> dict[str, Any]:
    """The fields of an incident that is not closed; refuses the request if there is none."""
    fields = incidents.reference(act.db, name).get(transaction=act.transaction).to_dict()
    if fields is None:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such incident.")
    if fields["state"] == State.CLOSED:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The incident is closed.")
    return fields


def confirmed_one(act: Act, name: str) -> dict[str, Any]:
    """The fields of an incident that is confirmed and not closed; refuses the request otherwise."""
    fields = open_one(act, name)
    if fields["state"] != State.CONFIRMED:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "Confirm the incident first.")
    return fields


def drafted(name: str, incident: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The change that meets our own first clock, once what regulators are owed at once is said."""
    open_ = incident["state"] == State.CONFIRMED and "own-draft" not in (incident.get("met") or {})
    return {"met.`own-draft`": {"at": now}} if open_ and texts.is_draftable(name, incident) else {}


def wrong(message: str) -> HttpsError:
    return HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, message)
