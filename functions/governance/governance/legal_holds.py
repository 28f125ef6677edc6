"""Legal holds: placed and released by two people."""

import secrets
from typing import Annotated

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import StringConstraints

from astra import erasure, tlog
from astra.datamap.table import DATA_MAP
from astra.erasure import legal_holds
from astra.notices import inbox
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.pseudonyms import Pseudonym
from astra.staff.fields import EntryNames, Moment, Text, Uid, sha256_of
from astra.staff.privileged import Act, Decision, privileged

_CATEGORY = {entry.name: entry.category for entry in DATA_MAP}


class PlaceHold(Shape):
    """`entries` of the data map, the law and the case that ask for them (shown to the person), and an end."""

    uid: Uid
    entries: EntryNames
    basis: Text
    expiresAt: Moment


class ReleaseHold(Shape):
    """Which of somebody's holds ends."""

    uid: Uid
    holdId: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


@privileged(tlog.Action.HOLD_PLACED)
def place_hold(act: Act, form: PlaceHold) -> Decision:
    """Keep what is named of a person, though all else may go. They are told the categories, as long as they can be."""
    subject, reads = act.subject(form.uid), inbox.reads(act.platform, form.uid)
    job, stored, *person = fetch(
        act.db,
        erasure.reference(act.db, subject),
        legal_holds.reference(act.db, subject),
        *reads,
        transaction=act.transaction,
    )
    if not (job.exists or person[0].exists):
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is nobody of this account id, nor was there.")
    try:
        hold = legal_holds.drawn_up(
            stored, entries=form.entries, basis=form.basis, expires_at=form.expiresAt, now=act.now
        )
    except legal_holds.Refused as refused:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, str(refused)) from None
    hold_id, told = secrets.token_hex(8), inbox.reachable(person[0], person[1])

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        legal_holds.put(transaction, stored.reference, hold_id, hold, approvers)
        if told:
            inbox.write(transaction, act.db, form.uid, f"hold-{hold_id}", _notice(form), act.now)

    # The basis is free text, which may name somebody: the log commits to it without repeating it.
    record = {"entries": form.entries, "until": iso(form.expiresAt), "told": told, "basisSha256": sha256_of(form.basis)}
    return Decision(write, record, concerns=form.uid, two_people=True, answer={"holdId": hold_id})


@privileged(tlog.Action.HOLD_RELEASED)
def release_hold(act: Act, form: ReleaseHold) -> Decision:
    """End a hold before its time: an erasure that waited for it goes on."""
    try:
        release = legal_holds.pending_release(act.transaction, act.db, act.subject(form.uid), form.holdId, act.now)
    except legal_holds.Refused as refused:
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, str(refused)) from None
    return Decision(lambda *_: release.apply(), {"holdId": form.holdId}, concerns=form.uid, two_people=True)


def _notice(form: PlaceHold) -> inbox.Notice:
    kept = "; ".join(_CATEGORY[name] for name in form.entries)
    return inbox.Notice(
        inbox.Kind.LEGAL_HOLD,
        "Some of your data must be kept for a while",
        f"Until {iso(form.expiresAt)} we must keep, even if you delete it: {kept}. The basis is: {form.basis}.",
    )
