"""Confirmation of an incident as a breach, its scope, and the people known to be affected.

Whoever confirms it says from when we are aware: that starts the clocks, and nothing else does. They say in which time
it happened and whose hands did it; who is affected is then computed from the audit log (see `affected`), beside whom
they know: of them nothing is in the incident or the log's record, and their ids only where they have a profile.
"""

from datetime import timedelta
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import AfterValidator, Field, StringConstraints

from astra import tlog
from astra.datamap.table import DATA_MAP
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.pseudonyms import Pseudonym
from astra.staff.fields import Moment, Uid, sha256_of
from astra.staff.privileged import Act, Decision, privileged

from breach import incidents
from breach.assessment import affected
from breach.assessment.exposures import Notes
from breach.incidents import Cohort, State
from breach.response.contain import IncidentId
from breach.response.decisions import Passage, confirmed_one, drafted, open_one, wrong

_MAX_AGE: Final = timedelta(days=400)
"""As long as the audit log of what administrators do is kept."""
_MAX_KNOWN_PEOPLE: Final = 1000
"""What one transaction bears."""
_OF_PEOPLE: Final = frozenset(entry.name for entry in DATA_MAP if "{uid}" in entry.where)

ServiceAccount = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}@[a-z0-9.-]{1,80}\.gserviceaccount\.com$")]


def _of_a_person(name: str) -> str:
    if name not in _OF_PEOPLE:
        raise ValueError("is no entry of the data map that a person owns")
    return name


EntriesOfPeople = Annotated[list[Annotated[str, AfterValidator(_of_a_person)]], Field(max_length=50, default=[])]


class ConfirmIncident(Shape):
    """Since when we are aware of it, and in which time it happened. Whose hands: those of the case's signals, and these
    `serviceAccounts`. `keysExposed`: whether whoever it was could use the key service. `credentialsExposed`: whether
    addresses and passwords got out. `everybodys`: entries of the data map that they had of everybody, where the log
    can't say of whom: a processor's breach, a listing, an export. `people`: account ids of whom staff know that
    `peoplesEntries` of theirs were opened, where no hands are in the log: somebody whose token was stolen. Who is
    erased is counted; of ids that were never anybody's the error says how many they are.

    Said again, it is counted again, as long as no notice is approved: with more of all this, never with less."""

    incidentId: IncidentId
    awareAt: Moment
    occurredFrom: Moment
    occurredUntil: Moment
    serviceAccounts: Annotated[list[ServiceAccount], Field(max_length=20, default=[])]
    keysExposed: bool = False
    credentialsExposed: bool = False
    everybodys: EntriesOfPeople
    people: Annotated[list[Uid], Field(max_length=_MAX_KNOWN_PEOPLE, default=[])]
    peoplesEntries: EntriesOfPeople
    highRisk: bool = True


@privileged(tlog.Action.INCIDENT_CONFIRMED)
def confirm_incident(act: Act, form: ConfirmIncident) -> Decision:
    """Say that it is a breach. Its clocks run from `awareAt`, and who is affected is computed; again, it is counted
    again, wider."""
    incident = open_one(act, form.incidentId)
    again = incident["state"] != State.SUSPECTED
    if again and incident["cohort"] != Cohort.FROZEN:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, "It is confirmed already, and is being counted or told."
        )
    if not form.occurredFrom <= form.awareAt <= act.now:
        # It may be before the case was opened: a letter is read on Friday, and the case opened on Monday.
        raise wrong("awareAt: not before it began, and not in the future")
    if not act.now - _MAX_AGE <= form.occurredFrom < form.occurredUntil <= act.now:
        raise wrong("occurredFrom, occurredUntil: in this order, in the last 400 days")
    if again and _is_less(form, incident):
        raise wrong("counted again, it is with no later awareAt, and with no less than was said before")
    if bool(form.people) != bool(form.peoplesEntries):
        raise wrong("people, peoplesEntries: one says nothing without the other")
    notes = Notes(act.platform, form.incidentId)
    read, strangers = notes.read_known(act.transaction, form.people)
    if strangers:
        raise wrong(f"people: {strangers} of them never had an account")
    before = incident if again else {}
    known = bool(form.people) or before.get("peopleKnown", False)
    fields = {
        "state": State.CONFIRMED.value,
        "awareAt": form.awareAt,
        "occurredFrom": form.occurredFrom,
        "occurredUntil": form.occurredUntil,
        "serviceAccounts": sorted({*form.serviceAccounts, *before.get("serviceAccounts", ())}),
        "everybodys": sorted({*form.everybodys, *before.get("everybodys", ())}),
        "keysExposed": form.keysExposed or before.get("keysExposed", False),
        "credentialsExposed": form.credentialsExposed or before.get("credentialsExposed", False),
        "highRisk": form.highRisk or before.get("highRisk", False),
        "peopleKnown": known,
        "cohort": Cohort.GATHERING.value,
    }
    if again:
        # What was counted before says nothing of a wider time: until that is counted, nobody knows.
        fields |= {"affected": None, "exposed": [], "numbers": {}, "ruledOut": None}

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        reference, job = incidents.reference(act.db, form.incidentId), incidents.cohort_job(act.db, form.incidentId)
        changes = {**fields, "confirmedBy": approvers[0], "confirmedAt": act.now}
        transaction.update(reference, changes | drafted(form.incidentId, incident | changes, act.now))
        if again:
            transaction.update(job, affected.reopened(act.now, known=known))
        else:
            transaction.create(job, affected.opened(act.now, known=known))
        notes.note_known(transaction, read, form.peoplesEntries)

    record: dict[str, Any] = {"incident": form.incidentId, "awareAt": iso(form.awareAt)}
    record |= ({"again": True} if again else {}) | ({"people": len({*form.people})} if form.people else {})
    return Decision(write, record, afterwards=lambda: affected.hint(act.platform, form.incidentId))


class RuleOutPeople(Shape):
    """Why two people are sure that nobody is affected."""

    incidentId: IncidentId
    reason: Passage


@privileged(tlog.Action.PEOPLE_RULED_OUT)
def rule_out_people(act: Act, form: RuleOutPeople) -> Decision:
    """Say that nobody is affected, where the audit log names nobody and can't show that there is nobody. Takes two
    people, who go by the same count; regulators are told why. Confirmed again, wider, it is open again."""
    incident = confirmed_one(act, form.incidentId)
    if incident["cohort"] != Cohort.FROZEN or incident["affected"] is not None:
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION, "Only where it was counted, and is not known who is affected."
        )

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        changes = {"affected": {}, "ruledOut": {"reason": form.reason, "at": act.now, "by": approvers}}
        changes |= drafted(form.incidentId, incident | changes, act.now)
        transaction.update(incidents.reference(act.db, form.incidentId), changes)

    record = {"incident": form.incidentId, "reasonSha256": sha256_of(form.reason)}
    return Decision(write, record, two_people=True, about=incident["countedAt"].isoformat())


def _is_less(form: ConfirmIncident, incident: dict[str, Any]) -> bool:
    """Whether this says of a confirmed incident that it began later, was shorter, or that we knew of it later."""
    later = form.awareAt > incident["awareAt"] or form.occurredFrom > incident["occurredFrom"]
    return bool(later or form.occurredUntil < incident["occurredUntil"])
