"""The register of disclosures: which data went to whom, on which legal ground.

    disclosures/{pseudonym}   {id: {ground, recipient, processReference, scope, approvers, at, gag, toldAt}}
    users/{uid}/gags/{id}     what the person is told once the ban on telling them ends: {until, title, body}

Two people approve a disclosure. The person is told in the same transaction, unless the authority has banned that; a ban
has a basis and an end, and then `tell` tells them. There is no other way not to tell somebody who has an account.
"""

import enum
import secrets
from datetime import timedelta
from typing import Annotated, Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore
from pydantic import AfterValidator, Field

from astra import erasure, tlog
from astra.datamap.table import DATA_MAP
from astra.notices import inbox
from astra.runtime import log
from astra.runtime.callables import Shape
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from astra.runtime.settings import Settings
from astra.staff.fields import EntryNames, Moment, Reference, Text, Uid, sha256_of
from astra.staff.privileged import Act, Decision, privileged

DISCLOSURES: Final = "disclosures"
GAGS: Final = "gags"
_MAX_GAG: Final = timedelta(days=366)
_PAGE_DISCLOSURES: Final = 100
_CATEGORY: Final = {entry.name: entry.category for entry in DATA_MAP}


class Ground(enum.StrEnum):
    """The five grounds of section 2.6 of the policy. There is no sixth."""

    LEGAL_OBLIGATION = "legal-obligation"
    """Comply with a legal obligation."""
    RIGHTS_OR_PROPERTY = "rights-or-property"
    """Protect and defend the rights or property of the Company."""
    WRONGDOING = "wrongdoing"
    """Prevent or investigate possible wrongdoing in connection with the Service."""
    PERSONAL_SAFETY = "personal-safety"
    """Protect the personal safety of users of the Service or the public."""
    LIABILITY = "liability"
    """Protect against legal liability."""


_GROUND: Final = {
    Ground.LEGAL_OBLIGATION: "to comply with a legal obligation",
    Ground.RIGHTS_OR_PROPERTY: "to protect and defend the rights or property of the Company",
    Ground.WRONGDOING: "to prevent or investigate possible wrongdoing in connection with the Service",
    Ground.PERSONAL_SAFETY: "to protect the personal safety of users of the Service or the public",
    Ground.LIABILITY: "to protect against legal liability",
}


def _known(names: list[str]) -> list[str]:
    if unknown := sorted(set(names) - _CATEGORY.keys()):
        raise ValueError(f"not in the data map: {', '.join(unknown)}")
    return names


class Gag(Shape):
    """A ban on telling the person: who banned it under which law, and until when."""

    basis: Text
    until: Moment


class RecordDisclosure(Shape):
    """Whose data, to whom, why, in which process, and exactly which entries of the data map."""

    uid: Uid
    ground: Annotated[Ground, Field(strict=False)]
    recipient: Text
    processReference: Reference
    scope: Annotated[EntryNames, Field(min_length=1), AfterValidator(_known)]
    gag: Gag | None = None


@privileged(tlog.Action.DISCLOSURE_RECORDED)
def record_disclosure(act: Act, form: RecordDisclosure) -> Decision:
    """Enter a disclosure before it is made. Nothing may leave that is not here, with two people's approval."""
    if form.gag and not act.now < form.gag.until <= act.now + _MAX_GAG:
        raise HttpsError(
            FunctionsErrorCode.INVALID_ARGUMENT, "gag.until: must lie in the future, at most 366 days ahead"
        )
    subject = act.subject(form.uid)
    reads = (erasure.reference(act.db, subject), *inbox.reads(act.platform, form.uid))
    job, *person = fetch(act.db, *reads, transaction=act.transaction)
    if not (job.exists or person[0].exists):
        raise HttpsError(FunctionsErrorCode.NOT_FOUND, "There is nobody of this account id, nor was there.")
    name, reachable = secrets.token_hex(8), inbox.reachable(person[0], person[1])
    line = {
        "ground": form.ground.value,
        "recipient": form.recipient,
        "processReference": form.processReference,
        "scope": form.scope,
        "gag": form.gag and {"basis": form.gag.basis, "until": form.gag.until},
        "at": act.now,
        "toldAt": act.now if reachable and not form.gag else None,
    }

    def write(transaction: firestore.Transaction, approvers: list[Pseudonym]) -> None:
        register = act.db.collection(DISCLOSURES).document(subject)
        transaction.set(register, {name: {**line, "approvers": approvers}}, merge=True)
        if not reachable:
            return  # there is nobody any more who could be told
        told = _notice(form, act)
        if form.gag:
            later = {"title": told.title, "body": told.body, "until": form.gag.until, "createdAt": act.now}
            transaction.create(act.db.document("users", form.uid, GAGS, name), later)
        else:
            inbox.write(transaction, act.db, form.uid, f"disclosure-{name}", told, act.now)

    # Free text may name somebody: the log commits to what was asked for without repeating it.
    record: dict[str, Any] = {
        "disclosureId": name,
        "ground": form.ground.value,
        "scope": form.scope,
        "gagUntil": iso(form.gag.until) if form.gag else None,
        "requestSha256": sha256_of(form.model_dump_json(exclude={"uid"})),
    }
    return Decision(write, record, concerns=form.uid, two_people=True, answer={"disclosureId": name})


def tell(platform: Platform[Settings]) -> int:
    """Tell everybody whose ban has ended. Answers how many were told."""
    ended = (
        platform.db.collection_group(GAGS)
        .where(filter=firestore.FieldFilter("until", "<=", platform.clock()))
        .order_by("until")
        .limit(_PAGE_DISCLOSURES)
    )
    told = 0
    for gag in ended.get():
        try:
            told += _tell(platform, gag.reference)
        except Exception as error:  # noqa: BLE001  (one that fails must not keep the others from knowing)
            log.failure(log.Event.FAILED, error)
    return told


def _tell(platform: Platform[Settings], gag: firestore.DocumentReference) -> bool:
    db, now, uid = platform.db, platform.clock(), gag.path.split("/")[1]
    subject = platform.pseudonyms.of_uid(uid)

    def body(transaction: firestore.Transaction) -> bool:
        reads = (gag, *inbox.reads(platform, uid))
        stored, *person = fetch(db, *reads, transaction=transaction)
        fields = stored.to_dict()
        if not fields or fields["until"] > now or not inbox.reachable(person[0], person[1]):
            return False  # somebody else has told them, or they are being erased, and this with them
        entry = tlog.Entry(tlog.Action.DISCLOSURE_TOLD, {"disclosureId": gag.id}, now, subject)
        tlog.append(transaction, db, entry)
        notice = inbox.Notice(inbox.Kind.DISCLOSURE, fields["title"], fields["body"])
        inbox.write(transaction, db, uid, f"disclosure-{gag.id}", notice, now)
        transaction.update(db.collection(DISCLOSURES).document(subject), {f"`{gag.id}`.toldAt": now})
        transaction.delete(gag)
        return True

    return transact(db, body)


def _notice(form: RecordDisclosure, act: Act) -> inbox.Notice:
    scope = "; ".join(_CATEGORY[name] for name in form.scope)
    return inbox.Notice(
        inbox.Kind.DISCLOSURE,
        "Some of your data was disclosed",
        f"On {iso(act.now)} we disclosed to {form.recipient}, {_GROUND[form.ground]}, in the process "
        f"{form.processReference}: {scope}. Section 2.6 of our policy says when we do this. Write to us about it.",
    )
