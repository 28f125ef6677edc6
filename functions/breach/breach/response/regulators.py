"""Filings to regulators: by whom, when, in which phase, with which text."""

from typing import Annotated, Any, Literal

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import AfterValidator, Field, StringConstraints

from astra import tlog
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.pseudonyms import Pseudonym
from astra.staff.fields import Moment, Reference, Text, sha256_of
from astra.staff.privileged import Act, Decision, privileged

from breach import deadlines, incidents, texts
from breach.deadlines import BY_NAME, Who
from breach.response.contain import IncidentId
from breach.response.decisions import confirmed_one


def _of_a_regulator(name: str) -> str:
    if name not in BY_NAME or BY_NAME[name].who not in (Who.REGULATOR, Who.BUREAUS):
        raise ValueError("is the name of no regulator's clock")
    return name


class TellRegulator(Shape):
    """That `clock`'s regulator was told, with its file number there. `sha256` is that of the text that was sent.
    `delayReason`: if that was late; what was said in an earlier phase need not be said again."""

    incidentId: IncidentId
    clock: Annotated[str, AfterValidator(_of_a_regulator)]
    phase: Literal["initial", "update", "final"]
    sentAt: Moment
    reference: Reference
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    delayReason: Annotated[Text | None, Field()] = None


@privileged(tlog.Action.REGULATOR_TOLD)
def tell_regulator(act: Act, form: TellRegulator) -> Decision:
    """Record that a regulator was told exactly what the incident says now. The first time meets its clock."""
    incident = confirmed_one(act, form.incidentId)
    if not incident["awareAt"] <= form.sentAt <= act.now:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "sentAt: not before we were aware, and not in the future")
    clock = BY_NAME[form.clock]
    runs = {one.clock.name: one for one in deadlines.running(incident)}
    if form.clock not in runs:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "This clock does not run for this incident.")
    try:
        text = texts.filing(form.incidentId, incident, clock, form.phase, form.delayReason or "", at=form.sentAt)
    except texts.Late as late:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, f"{late}.") from None
    except texts.Missing as missing:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, f"{missing}: `describe_incident` says it.") from None
    if text.sha256 != form.sha256:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, "The incident says something else by now: read it again."
        )
    earlier: dict[str, Any] = (incident.get("filings") or {}).get(form.clock) or {}
    number = len(earlier) + 1

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        row = {"phase": form.phase, "at": form.sentAt, "reference": form.reference, "sha256": text.sha256}
        row |= {"delayReason": form.delayReason} if form.delayReason else {}
        changes: dict[str, Any] = {f"filings.`{form.clock}`.n{number}": {**row, "by": approvers[0]}}
        if runs[form.clock].met is None:
            changes[f"met.`{form.clock}`"] = {"at": form.sentAt}
        reference = incidents.reference(act.db, form.incidentId)
        transaction.update(reference, changes)
        transaction.create(
            reference.collection("filings").document(f"{form.clock}-{number}"), {**row, "text": text.text}
        )

    record = {"incident": form.incidentId, "clock": form.clock, "phase": form.phase, "sentAt": iso(form.sentAt)}
    record |= {"textSha256": text.sha256, "referenceSha256": sha256_of(form.reference)}
    return Decision(write, record, answer={"number": number})
