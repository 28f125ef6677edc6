"""What stops a breach from going on, each offered and not done by itself, and each undone by the same call with `undo`.

    suspensions/{uid}   {incident, disabled, before, at, settleDue}: an account that must not sign in, or anew
    controls/{name}     see `astra.controls`; `key-{hash}` are keys of service accounts, {name, disabled, settleDue}

What lies outside the database follows the decision; `settleDue` until it did, so that `tick` does it after a crash.
"""

import contextlib
import enum
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import requests
from firebase_admin import auth
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import Field, StringConstraints

from astra import controls, incidents, log, tlog, tombstones
from astra.callables import Shape
from astra.documents import fetch
from astra.forms import Uid, sha256_of
from astra.incidents import State
from astra.platform import Platform
from astra.privileged import Act, Decision, privileged
from astra.pseudonyms import Pseudonym
from astra.settings import BreachSettings
from astra.transactions import transact
from google_api import session

SUSPENSIONS: Final = "suspensions"
REMOVALS: Final = "removals"
_TIMEOUT: Final = 10
_MOST: Final = 100

IncidentId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{20}$")]


class Measure(enum.StrEnum):
    """What can be done."""

    REVOKE_TOKENS = "revoke-tokens"
    """Somebody has to sign in anew, everywhere. There is nothing to undo."""
    DISABLE_USER = "disable-user"
    DISABLE_KEY = "disable-key"
    """A key of a service account."""
    FREEZE_EXPORTS = "freeze-exports"
    FREEZE_STAFF = "freeze-staff"


_FREEZES: Final = {
    Measure.FREEZE_EXPORTS: controls.Control.EXPORTS,
    Measure.FREEZE_STAFF: controls.Control.STAFF,
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
    return Decision(carry_out, record, concerns=form.uid, afterwards=afterwards, answer={"measure": name})


Write = Callable[[firestore.Transaction], object]


def _planned(act: Act, form: ContainIncident) -> tuple[str, Write, Callable[[], None]]:
    """A measure's name in its incident, what writes it, and what then follows outside the database."""
    if (control := _FREEZES.get(form.measure)) is not None:
        frozen = {"frozen": not form.undo, "incident": form.incidentId, "at": act.now}
        document = controls.reference(act.db, control)
        return form.measure.value, lambda transaction: transaction.set(document, frozen), lambda: None
    if form.measure is Measure.DISABLE_KEY:
        if form.key is None:
            raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "key: is required")
        name = f"key-{sha256_of(form.key)[:16]}"
        key = act.db.collection(controls.CONTROLS).document(name)
        wanted = {"name": form.key, "disabled": not form.undo, "incident": form.incidentId, "settleDue": True}
        return name, lambda transaction: transaction.set(key, wanted), partial(settle_key, act.platform, key)
    if form.uid is None:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "uid: is required")
    name = f"{form.measure.value}-{act.subject(form.uid)[:16]}"
    return name, _suspending(act, form, form.uid), partial(settle, act.platform, form.uid)


def _suspending(act: Act, form: ContainIncident, uid: str) -> Write:
    document = act.db.document(SUSPENSIONS, uid)
    stored, profile = fetch(act.db, document, act.db.document("users", uid), transaction=act.transaction)
    if not profile.exists:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.")
    known: dict[str, Any] = stored.to_dict() or {}
    if form.measure is Measure.REVOKE_TOKENS:
        if form.undo:
            raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "undo: whoever was signed out signs in again.")
        disabled = known.get("disabled", False)
    else:
        disabled = not form.undo
    before = known["before"] if "before" in known else _is_disabled(act.platform, uid)
    fields = {"incident": form.incidentId, "disabled": disabled, "before": before, "at": act.now, "settleDue": True}
    return lambda transaction: transaction.set(document, fields)


def settle(platform: Platform[BreachSettings], uid: str) -> None:
    """Make Auth do what was decided about an account. May be repeated; of two at once, the later decision holds."""
    db, document = platform.db, platform.db.document(SUSPENSIONS, uid)
    tombstone = tombstones.reference(db, platform.pseudonyms.of_uid(uid))
    while True:
        stored, removal, erased = fetch(db, document, db.document(REMOVALS, uid), tombstone)
        fields: dict[str, Any] = stored.to_dict() or {}
        if not fields or not fields["settleDue"]:
            return
        shut = fields["disabled"] or fields["before"] or erased.exists or _holds(removal)
        with contextlib.suppress(auth.UserNotFoundError):
            auth.update_user(uid, disabled=shut, valid_since=int(fields["at"].timestamp()), app=platform.app)
        if transact(db, partial(_settled, seen=stored, keep=fields["disabled"])):
            return


def _holds(removal: "firestore.DocumentSnapshot[Any]") -> bool:
    return (removal.to_dict() or {}).get("state") == "frozen"


def _settled(transaction: firestore.Transaction, seen: "firestore.DocumentSnapshot[Any]", *, keep: bool) -> bool:
    now = seen.reference.get(transaction=transaction)
    if not now.exists:
        return True
    if now.update_time != seen.update_time:
        return False
    if keep:
        transaction.update(now.reference, {"settleDue": False})
    else:
        transaction.delete(now.reference)
    return True


def settle_key(platform: Platform[BreachSettings], document: firestore.DocumentReference) -> None:
    """Turn a service account's key off, or on again. May be repeated. Raises requests.RequestException."""
    stored = document.get()
    fields: dict[str, Any] = stored.to_dict() or {}
    if not fields.get("settleDue"):
        return
    verb = "disable" if fields["disabled"] else "enable"
    url = f"{str(platform.settings.iam_url).rstrip('/')}/v1/{fields['name']}:{verb}"
    answer = session().post(url, json={}, timeout=_TIMEOUT)
    if answer.status_code != requests.codes.not_found:  # deleted: it opens nothing any more
        answer.raise_for_status()
    document.update({"settleDue": False}, platform.db.write_option(last_update_time=stored.update_time))


def settle_again(platform: Platform[BreachSettings]) -> None:
    """Do what a crash has left undone."""
    db, due = platform.db, firestore.FieldFilter("settleDue", "==", True)
    suspended = db.collection(SUSPENSIONS).where(filter=due).limit(_MOST).stream()
    work = [partial(settle, platform, stored.id) for stored in suspended]
    turned = db.collection(controls.CONTROLS).where(filter=due).limit(_MOST).stream()
    work += [partial(settle_key, platform, stored.reference) for stored in turned]
    for step in work:
        try:
            step()
        except Exception as error:  # noqa: BLE001  (one that fails must not keep another waiting)
            log.failure(log.Event.FOLLOW_UP_FAILED, error)


def _is_disabled(platform: Platform[BreachSettings], uid: str) -> bool:
    try:
        return bool(auth.get_user(uid, app=platform.app).disabled)
    except auth.UserNotFoundError:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is no such account.") from None
