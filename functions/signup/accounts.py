"""What Firebase Auth asks us before it makes an account or lets somebody in."""

from typing import Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra import log, tombstones
from astra.documents import fetch
from astra.platform import Platform
from astra.settings import Settings
from astra.transactions import transact
from enrolment import ENROLMENTS

_PURPOSES: Final = ("terms", "electronicNotices", "ipLock")


def before_create(platform: Platform[Settings], uid: str, email: str | None) -> None:
    """Turn the address's enrolment into profile and consents, in one transaction; refuse an account without one."""
    db, now = platform.db, platform.clock()
    enrolments = db.collection(ENROLMENTS)
    enrolment = enrolments.document(platform.pseudonyms.of_email(email)) if email else None
    profile = db.collection("users").document(uid)

    def enrol(transaction: firestore.Transaction) -> bool:
        form = enrolment.get(transaction=transaction).to_dict() if enrolment else None
        if not enrolment or not form or form["expireAt"] <= now:
            return False
        tombstones.refuse_erased(transaction, db, platform.pseudonyms.of_uid(uid))
        transaction.create(
            profile,
            {
                "name": form["name"],
                "email": email,
                "createdAt": now,
                "policyVersion": form["policyVersion"],
                "ipLock": form["consents"]["ipLock"],
                "jurisdiction": form["jurisdiction"],
                "state": "active",
            },
        )
        for purpose in _PURPOSES:
            if form["consents"][purpose]:
                transaction.create(profile.collection("consents").document(purpose), _consent(form, purpose))
        transaction.delete(enrolment)
        return True

    if not transact(db, enrol):
        log.write(log.Event.SIGN_UP_REFUSED)
        raise HttpsError(
            FunctionsErrorCode.PERMISSION_DENIED,
            "Start the sign-up first: agree to the policy, then make the account within 15 minutes.",
        )
    log.write(log.Event.SIGNED_UP)


def before_sign_in(platform: Platform[Settings], uid: str) -> None:
    """Let in whoever has an active profile and is not being erased."""
    db = platform.db
    profile = db.collection("users").document(uid)
    tombstone = tombstones.reference(db, platform.pseudonyms.of_uid(uid))
    found, erased = fetch(db, profile, tombstone)
    if erased.exists:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.")
    fields: dict[str, Any] = found.to_dict() or {}
    if fields.get("state") != "active":
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is not active. Write to us.")


def _consent(form: dict[str, Any], purpose: str) -> dict[str, Any]:
    return {
        "purpose": purpose,
        "policyVersion": form["policyVersion"],
        "policySha256": form["policySha256"],
        "ageScreen": form["ageScreen"],
        "givenAt": form["createdAt"],
    }
