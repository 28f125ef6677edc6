"""The register of processors: agreements, and findings about missing ones.

A finding, too, is that there is no CTO, unless a review is open and escalates for it, and that the roll call is off or
has stopped.

findings/{id}   {kind, about, openedAt, closedAt}: what staff must see to
"""

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import staff, tlog
from astra.erasure import roll_call
from astra.notices import inbox
from astra.runtime import log
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.staff import Role
from astra.staff.fields import EntryNames, Moment, Reference
from astra.staff.privileged import Act, Decision, privileged

from governance import processors
from governance.processors import PROCESSORS, PROCESSORS_COLLECTION
from governance.reviews import REVIEWS, UNSIGNED

FINDINGS: Final = "findings"
_MEND: Final = "Register the agreement with `register_processor`."
_APPOINT: Final = "Appoint one with `grant_role`: nobody else can sign the security policy's review."
_ROLL_CALL: Final = "`astra erasure roll-call` says why, and what to do."
_WARNED_AHEAD: Final = timedelta(days=30)


class Kind(enum.StrEnum):
    """What is wrong."""

    MISSING = "agreement-missing"
    ENDING = "agreement-ending"
    EXPIRED = "agreement-expired"
    OUTDATED = "data-shared-outdated"
    """The data map gives it other entries than the register says."""
    UNNAMED = "not-named-by-policy"
    VACANT = "vacant"
    """There is no CTO, and no review open that would say so."""
    OFF = "off"
    STOPPED = "stopped"


class RegisterProcessor(Shape):
    """A processor that the policy names, the agreement with it, and what it is given."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 .-]{1,59}$")]
    agreementReference: Reference
    agreementExpiresAt: Moment
    dataShared: EntryNames


@privileged(tlog.Action.PROCESSOR_REGISTERED)
def register_processor(act: Act, form: RegisterProcessor) -> Decision:
    """Enter the agreement with a processor. The list is the policy's: another one is in a new policy first."""
    known = {processor.name: processor for processor in PROCESSORS}
    if form.name not in known or form.name not in processors.named_in_force(act.db, act.now):
        raise HttpsError(
            FunctionsErrorCode.FAILED_PRECONDITION,
            "The policy in force does not name this processor: publish a policy that does, then register it.",
        )
    if form.agreementExpiresAt <= act.now:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "agreementExpiresAt: the agreement has ended")
    shared = known[form.name].data_shared
    if form.dataShared != shared:
        wrong = sorted(set(form.dataShared) ^ set(shared))
        raise HttpsError(
            FunctionsErrorCode.INVALID_ARGUMENT, f"dataShared: differs from the data map in {', '.join(wrong)}"
        )
    agreement = {"reference": form.agreementReference, "expiresAt": form.agreementExpiresAt}

    def write(transaction: firestore.Transaction, _: list[Pseudonym]) -> None:
        document = act.db.collection(PROCESSORS_COLLECTION).document(form.name)
        transaction.set(document, {**processors.line(known[form.name], act.now), "agreement": agreement})

    record = {"name": form.name, "agreement": form.agreementReference, "until": iso(form.agreementExpiresAt)}
    return Decision(write, {**record, "dataShared": shared})


def look(platform: Platform[Settings]) -> None:
    """Open a finding for everything that is wrong with the register, and close those that are mended."""
    db, now = platform.db, platform.clock()
    found = dict(_problems(platform, now))
    still = firestore.FieldFilter("closedAt", "==", None)
    for stored in db.collection(FINDINGS).where(filter=still).get():
        if stored.id not in found:
            stored.reference.update({"closedAt": now})
    for name, finding in found.items():
        _open(platform, name, finding, now)


def _problems(platform: Platform[Settings], now: datetime) -> Iterable[tuple[str, dict[str, Any]]]:
    named = processors.named_in_force(platform.db, now)
    register = platform.db.collection(PROCESSORS_COLLECTION)
    stored = fetch(platform.db, *(register.document(processor.name) for processor in PROCESSORS))
    for processor, snapshot in zip(PROCESSORS, stored, strict=True):
        line: dict[str, Any] = snapshot.to_dict() or {}
        agreement: dict[str, Any] | None = line.get("agreement")
        ends = agreement["expiresAt"] if agreement else None
        kinds = [
            (Kind.MISSING, agreement is None),
            (Kind.EXPIRED, ends is not None and ends <= now),
            (Kind.ENDING, ends is not None and now < ends <= now + _WARNED_AHEAD),
            (Kind.OUTDATED, bool(line) and line["dataShared"] != processor.data_shared),
            (Kind.UNNAMED, processor.name not in named),
        ]
        for kind, wrong in kinds:
            if wrong:
                yield f"{kind}.{processor.name}", {"kind": kind.value, "about": processor.name}
    unsigned = platform.db.collection(REVIEWS).where(filter=firestore.FieldFilter("state", "in", UNSIGNED)).limit(1)
    ctos = staff.present(platform, staff.find_members(platform.db, now, Role.CTO), None)
    if not ctos and not any(unsigned.get()):
        yield f"{Kind.VACANT}.CTO", {"kind": Kind.VACANT.value, "about": "CTO"}
    if trouble := roll_call.trouble(platform.db):
        yield f"{trouble[0]}.roll-call", {"kind": Kind(trouble[0].value).value, "about": "Roll call"}


def _open(platform: Platform[Settings], name: str, finding: dict[str, Any], now: datetime) -> None:
    """Open a finding unless it is open, and tell those who can mend it."""
    db, document = platform.db, platform.db.collection(FINDINGS).document(name)
    title = f"{finding['about']}: {finding['kind'].replace('-', ' ')}"
    is_vacant = finding["kind"] == Kind.VACANT
    text = {Kind.VACANT: _APPOINT, Kind.OFF: _ROLL_CALL, Kind.STOPPED: _ROLL_CALL}.get(finding["kind"], _MEND)
    notice = inbox.Notice(inbox.Kind.STAFF, title, text)
    roles = (Role.PRIVACY, Role.SECURITY if is_vacant else Role.CTO)

    def body(transaction: firestore.Transaction) -> bool:
        stored = document.get(transaction=transaction).to_dict()
        to_tell = staff.find_members(db, now, *roles, transaction=transaction)
        to_tell = staff.present(platform, to_tell, transaction)
        if stored and stored["closedAt"] is None:
            return False
        transaction.set(document, {**finding, "openedAt": now, "closedAt": None})
        for member in to_tell:
            inbox.write(transaction, db, member.uid, f"{name}.{now:%Y-%m-%d}", notice, now)
        return True

    if transact(db, body):
        log.write(log.Event.FINDING_OPENED, kind=Kind(finding["kind"]))
