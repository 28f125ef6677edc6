"""Blocking functions: Firebase Auth asks before it creates an account or signs in."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.api_core.exceptions import FailedPrecondition, NotFound
from google.cloud import firestore

from astra import policies, tlog
from astra.accounts import activity, tombstones
from astra.accounts.honeytokens import is_honey
from astra.accounts.state import ProfileState
from astra.erasure.change_gate import Bar, Barred
from astra.notices import campaigns, inbox
from astra.policies import Policy
from astra.runtime import http, log
from astra.runtime.account_id import is_account_id
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform

from signup import consent_receipts
from signup import revision as signup_revision
from signup.enrolment import ENROLMENTS
from signup.revision import lock
from signup.settings import SignInSettings

_CODE: Final = "Ask for a code by e-mail: it lets you in."


@dataclass(frozen=True)
class Asked:
    """Whom Auth asks about. `address` is where they are, as Auth sees it: for the moment, and never to be stored."""

    uid: str
    email: str | None
    address: str | None = None
    role: str | None = None
    """Staff have one, and no profile."""


def before_create(platform: Platform[SignInSettings], asked: Asked) -> None:
    """Turn the address's enrolment into profile and consents, in one transaction; refuse an account without one."""
    db, now = platform.db, platform.clock()
    subject = platform.pseudonyms.of_uid(asked.uid)
    enrolment = (
        db.collection(ENROLMENTS).document(platform.pseudonyms.of_email(asked.email))
        if asked.email and asked.email.isascii()
        else None
    )
    profile = db.collection("users").document(asked.uid)
    at = http.masked(asked.address or "")

    def enrol(transaction: firestore.Transaction) -> bool:
        form = enrolment.get(transaction=transaction).to_dict() if enrolment else None
        if not enrolment or not form or form["expireAt"] <= now:
            return False
        tombstones.refuse_erased(transaction, db, subject)
        announced = campaigns.pending(db, now, transaction)
        agreed = {purpose for purpose in consent_receipts.PURPOSES if form["consents"][purpose]}
        if at is None:
            agreed.discard(consent_receipts.IP_LOCK)  # there is nothing to lock to: let nobody believe that it is
        locked = consent_receipts.IP_LOCK in agreed
        noted = {activity.FIELD: activity.seen(platform.settings, now)}
        transaction.create(profile, _profile(form, asked.email, now, locked=locked) | noted)
        version = Policy(form["policyVersion"], form["policySha256"], form["policyEffectiveAt"])
        for purpose in agreed:
            receipt = consent_receipts.given(subject, purpose, version, form["ageScreen"], form["createdAt"])
            transaction.create(profile.collection("consents").document(purpose), receipt)
            tlog.append(transaction, db, consent_receipts.logged(subject, purpose, receipt, form["createdAt"]))
        if locked:
            transaction.create(lock(platform, asked.uid), signup_revision.locked(platform, asked.uid, str(at), now))
        # Whoever has a profile by the time that something is announced is told of it there; who has it later, here.
        for name, notice in announced:
            if name != policies.campaign_of(version.version):
                inbox.write(transaction, db, asked.uid, name, notice, now, campaign=name)
        transaction.delete(enrolment)
        return True

    # An account without a profile can do nothing: what has one has an id that every path can take.
    if not (is_account_id(asked.uid) and transact(db, enrol)):
        log.write(log.Event.SIGN_UP_REFUSED)
        raise HttpsError(
            FunctionsErrorCode.PERMISSION_DENIED,
            "Start the sign-up first: agree to the policy, then make the account within 15 minutes.",
        )
    log.write(log.Event.SIGNED_UP)


def before_sign_in(platform: Platform[SignInSettings], asked: Asked) -> None:
    """Let in who has an active profile, has accepted the policy, and comes from where they locked their sign-in to.

    Staff need no profile. An address that was changed at Auth itself is changed in the profile too.
    """
    db, uid = platform.db, asked.uid
    if is_honey(platform.pseudonyms, uid):
        log.write(log.Event.HONEY_TOUCHED, severity=logging.CRITICAL)
    profile = db.collection("users").document(uid)
    tombstone = tombstones.reference(db, platform.pseudonyms.of_uid(uid))
    found, erased, locked = fetch(db, profile, tombstone, lock(platform, uid))
    if erased.exists:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.")
    fields: dict[str, Any] = found.to_dict() or {}
    if not fields and asked.role:
        return
    if fields.get("state") != ProfileState.ACTIVE:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is not active. Write to us.")
    # Also of who is refused below: they know the password, and mean to come back.
    if activity.is_news(fields, platform.clock()) and not _noted(platform, found):
        before_sign_in(platform, asked)  # looked at as it is now
        return
    if required := _not_accepted(platform, fields["policyVersion"]):
        raise _refused(
            FunctionsErrorCode.FAILED_PRECONDITION,
            f"The policy has changed: read version {required.version} and agree to it.",
        )
    if fields["ipLock"] and not _is_home(platform, asked, locked.to_dict() or {}):
        raise _refused(FunctionsErrorCode.PERMISSION_DENIED, "Sign-in is locked to another network.")
    if fields["ipLock"] and locked.get("network") is None:
        at = str(http.masked(asked.address or ""))
        signup_revision.revise(platform, uid, lambda revision: revision.lock(at), platform.clock(), changes=())
    if asked.email and fields["email"] != asked.email:
        _take_over(platform, uid, asked.email)


def _take_over(platform: Platform[SignInSettings], uid: str, address: str) -> None:
    """Note an address that was changed at Auth. While a legal hold keeps the profile, a later sign-in does it."""

    def change(revision: signup_revision.Revision) -> None:
        revision.rectify({"email": address})

    try:
        signup_revision.revise(platform, uid, change, platform.clock(), changes={"profile"})
    except Barred as barred:
        if barred.bar is not Bar.HELD:
            raise


def _profile(form: dict[str, Any], email: str | None, now: datetime, *, locked: bool) -> dict[str, Any]:
    return {
        "name": form["name"],
        "email": email,
        "createdAt": now,
        "policyVersion": form["policyVersion"],
        "ipLock": locked,
        "jurisdiction": form["jurisdiction"],
        "state": ProfileState.ACTIVE.value,
    }


def _not_accepted(platform: Platform[SignInSettings], version: str) -> Policy | None:
    """The last policy with material changes that has been in force for longer than its grace, if `version` is older."""
    grace = timedelta(days=platform.settings.policy_grace_days)
    required = policies.last_material(platform.db, platform.clock() - grace)
    if version == required.version:
        return None
    # Who accepted a later one that was withdrawn since has not gone back behind the one in force.
    return required if version < required.version or policies.find(platform.db, version) is None else None


def _is_home(platform: Platform[SignInSettings], asked: Asked, locked: dict[str, Any]) -> bool:
    at = http.masked(asked.address or "")
    if at is None:
        return False
    opened = locked.get("openUntil")
    if opened is not None:  # by a code: the first who comes in time, and knows the password, says where home is
        return bool(opened > platform.clock())
    return locked.get("network") == platform.pseudonyms.of_network(asked.uid, at)


def _noted(platform: Platform[SignInSettings], profile: "firestore.DocumentSnapshot[Any]") -> bool:
    """Note that somebody was here, unless their profile has changed since it was read; answers whether it has not.

    So of a sign-in and a sweep that would erase them just now, one sees the other. One request, no lock to wait for.
    """
    db, batch = platform.db, platform.db.batch()
    note = {activity.FIELD: activity.seen(platform.settings, platform.clock())}
    batch.update(profile.reference, note, db.write_option(last_update_time=profile.update_time))
    try:
        tombstones.commit_unless_erased(batch, db, platform.pseudonyms.of_uid(profile.id))
    except tombstones.Erased:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.") from None
    except (FailedPrecondition, NotFound):
        return False
    return True


def _refused(code: FunctionsErrorCode, why: str) -> HttpsError:
    log.write(log.Event.SIGN_IN_REFUSED)
    return HttpsError(code, f"{why} {_CODE}")
