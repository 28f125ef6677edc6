"""Containment measures of an incident, each with its undo.

    suspensions/{uid}   {incidents, disabled, before, at, settleDue}: an account that must not sign in, or anew
    controls/{name}     see `astra.staff.freezes`; `key-{hash}` are keys of service accounts,
                        {name, incidents, disabled, settleDue}

Two incidents may need the same measure: what holds it is a set, and only when the last has undone it, it ends. A
suspended account's profile is frozen in the decision's transaction, so that an ID token that is out already opens
nothing; see `astra.accounts.state`. What lies outside the database follows the decision; `settleDue` until it did, so
that `tick` does it after a crash.
"""

import enum
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final

import requests
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field, StringConstraints

from astra import tlog
from astra.accounts import activity
from astra.accounts import state as account_state
from astra.accounts.state import ProfileState, settle
from astra.runtime import log
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.staff import freezes
from astra.staff.fields import Uid, sha256_of
from astra.staff.privileged import Act, Decision, privileged

from breach import incidents
from breach.google_api import session
from breach.incidents import State
from breach.settings import IncidentSettings

_TIMEOUT_SECONDS: Final = 10
_MAX_ROWS: Final = 100
_ID_TOKEN_LIFETIME: Final = timedelta(hours=1)
"""How long one lives, whatever is revoked."""

IncidentId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{20}$")]


class Measure(enum.StrEnum):
    """What can be done."""

    REVOKE_TOKENS = "revoke-tokens"
    """Somebody has to sign in anew, everywhere, as soon as their ID token ends: within an hour, which the answer says.
    There is nothing to undo."""
    DISABLE_USER = "disable-user"
    """Somebody's account is closed, at once."""
    DISABLE_KEY = "disable-key"
    """A key of a service account."""
    FREEZE_EXPORTS = "freeze-exports"
    FREEZE_STAFF = "freeze-staff"


_FREEZES: Final = {
    Measure.FREEZE_EXPORTS: freezes.Control.EXPORTS,
    Measure.FREEZE_STAFF: freezes.Control.STAFF,
}


class ContainIncident(Shape):
    """Which measure, and against whose account (`uid`) or which `key`, by its full name."""

    incidentId: IncidentId
    measure: Annotated[Measure, Field(strict=False)]
    uid: Uid | None = None
    key: (
        Annotated[str, StringConstraints(pattern=r"^projects/[^/\s]+/serviceAccounts/[^/\s]+/keys/[0-9a-f]+$")] | None
    ) = None
    undo: bool = False


@privileged(tlog.Action.INCIDENT_CONTAINED)
def contain_incident(act: Act, form: ContainIncident) -> Decision:
    """Take a measure, or take it back. One person is enough: it can be undone."""
    incident = incidents.reference(act.db, form.incidentId).get(transaction=act.transaction)
    fields: dict[str, Any] = incident.to_dict() or {}
    if not incident.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such incident.")
    if fields["state"] == State.CLOSED and not form.undo:
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "The incident is closed.")
    name, write, afterwards = _planned(act, form)
    taken = fields["measures"].get(name)
    if form.undo and not (taken and taken["undoneAt"] is None):
        raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "This measure is not in effect for this incident.")

    def carry_out(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        row = {"measure": form.measure.value, "at": act.now, "by": approvers[0], "undoneAt": None}
        if form.undo:
            row = {**(taken or {}), "undoneAt": act.now}
        transaction.update(incident.reference, {f"measures.{name}": row})
        write(transaction)

    record = {"incident": form.incidentId, "measure": form.measure.value, "undone": form.undo}
    if form.key:
        record["keySha256"] = sha256_of(form.key)
    answer: dict[str, Any] = {"measure": name}
    if form.measure is Measure.REVOKE_TOKENS:
        answer["idTokensUntil"] = iso(act.now + _ID_TOKEN_LIFETIME)
    return Decision(carry_out, record, concerns=form.uid, afterwards=afterwards, answer=answer)


Write = Callable[[firestore.Transaction], object]


def _planned(act: Act, form: ContainIncident) -> tuple[str, Write, Callable[[], None]]:
    """A measure's name in its incident, what writes it, and what then follows outside the database."""
    if (control := _FREEZES.get(form.measure)) is not None:
        document = freezes.reference(act.db, control)
        held = _held(document.get(transaction=act.transaction), form)
        frozen = {"frozen": bool(held), "incidents": held, "at": act.now}
        return form.measure.value, lambda transaction: transaction.set(document, frozen), lambda: None
    if form.measure is Measure.DISABLE_KEY:
        if form.key is None:
            raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "key: is required")
        name = f"key-{sha256_of(form.key)[:16]}"
        key = act.db.collection(freezes.CONTROLS).document(name)
        held = _held(key.get(transaction=act.transaction), form)
        wanted = {"name": form.key, "disabled": bool(held), "incidents": held, "settleDue": True}
        return name, lambda transaction: transaction.set(key, wanted), partial(settle_key, act.platform, key)
    if form.uid is None:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "uid: is required")
    name = f"{form.measure.value}-{act.subject(form.uid)[:16]}"
    return name, _suspending(act, form, form.uid), partial(settle, act.platform, form.uid)


def _held(stored: "firestore.DocumentSnapshot[Any]", form: ContainIncident) -> list[str]:
    """The incidents that hold a measure once this is carried out."""
    known = set((stored.to_dict() or {}).get("incidents", []))
    return sorted(known - {form.incidentId} if form.undo else known | {form.incidentId})


def _suspending(act: Act, form: ContainIncident, uid: str) -> Write:
    reads = (account_state.SUSPENSIONS, "users", account_state.REMOVALS)
    references = (act.db.document(collection, uid) for collection in reads)
    stored, profile, removal = fetch(act.db, *references, transaction=act.transaction)
    if not profile.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.")
    held: list[str] = (stored.to_dict() or {}).get("incidents", [])
    if form.measure is Measure.DISABLE_USER:
        held = _held(stored, form)
    elif form.undo:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "undo: whoever was signed out signs in again.")
    fields = {
        "incidents": held,
        "disabled": bool(held),
        "before": account_state.was_disabled(act.platform, uid, removal, stored),
        "at": act.now,
        "settleDue": True,
    }

    def write(transaction: firestore.Transaction) -> None:
        transaction.set(stored.reference, fields)
        state = profile.get("state")
        is_shut = held or account_state.removes(removal)
        if is_shut and state in (ProfileState.ACTIVE, ProfileState.FROZEN):  # an account that is being erased stays so
            transaction.update(profile.reference, {"state": ProfileState.FROZEN.value})
        elif state == ProfileState.FROZEN:
            transaction.update(profile.reference, activity.thawed(profile.to_dict() or {}, act.now))

    return write


def settle_key(platform: Platform[IncidentSettings], document: firestore.DocumentReference) -> None:
    """Turn a service account's key off, or on again. May be repeated. Raises requests.RequestException."""
    stored = document.get()
    fields: dict[str, Any] = stored.to_dict() or {}
    if not fields.get("settleDue"):
        return
    verb = "disable" if fields["disabled"] else "enable"
    url = f"{str(platform.settings.iam_url).rstrip('/')}/v1/{fields['name']}:{verb}"
    answer = session().post(url, json={}, timeout=_TIMEOUT_SECONDS)
    if answer.status_code != requests.codes.not_found:  # deleted: it opens nothing any more
        answer.raise_for_status()
    document.update({"settleDue": False}, platform.db.write_option(last_update_time=stored.update_time))


def settle_again(platform: Platform[IncidentSettings]) -> None:
    """Do what a crash has left undone."""
    db, due = platform.db, firestore.FieldFilter("settleDue", "==", True)
    work = [partial(settle, platform, uid) for uid in account_state.unsettled(platform, account_state.SUSPENSIONS)]
    turned = db.collection(freezes.CONTROLS).where(filter=due).limit(_MAX_ROWS).get()
    work += [partial(settle_key, platform, stored.reference) for stored in turned]
    for step in work:
        try:
            step()
        except Exception as error:  # noqa: BLE001  (one that fails must not keep another waiting)
            log.failure(log.Event.FOLLOW_UP_FAILED, error)
