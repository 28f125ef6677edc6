"""Freezing an orphaned profile, and lifting the freeze. Both are idempotent."""

import logging

from google.cloud import firestore

from astra import tlog
from astra.accounts import activity
from astra.accounts import state as account_state
from astra.accounts.state import ProfileState
from astra.runtime import log
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym

from erasure.settings import RollCallSettings


def freeze(platform: Platform[RollCallSettings], uid: str, subject: Pseudonym) -> None:
    """Close an orphan's profile, if there is one and it is open. What has no profile nobody can reach."""
    db, now = platform.db, platform.clock()

    def body(transaction: firestore.Transaction) -> None:
        profile = db.collection("users").document(uid).get(transaction=transaction)
        if (profile.to_dict() or {}).get("state") == ProfileState.ACTIVE:
            transaction.update(profile.reference, {"state": ProfileState.FROZEN.value})
            tlog.append(transaction, db, tlog.Entry(tlog.Action.ORPHAN_FROZEN, {}, now, subject))

    transact(db, body)


def give_back(platform: Platform[RollCallSettings], uid: str, subject: Pseudonym, *, is_known: bool) -> None:
    """Open a profile again that a round has frozen, unless a child's removal or a breach holds it too.

    `is_known` is True if the account is there again: then staff are called.
    """
    db, now = platform.db, platform.clock()
    places = [db.document(name, uid) for name in ("users", account_state.REMOVALS, account_state.SUSPENSIONS)]

    def body(transaction: firestore.Transaction) -> bool:
        profile, removal, suspension = fetch(db, *places, transaction=transaction)
        fields = profile.to_dict() or {}
        if (
            fields.get("state") != ProfileState.FROZEN
            or account_state.removes(removal)
            or account_state.suspends(suspension)
        ):
            return False
        transaction.update(profile.reference, activity.thawed(fields, now))
        tlog.append(transaction, db, tlog.Entry(tlog.Action.ORPHAN_GIVEN_BACK, {}, now, subject))
        return True

    if transact(db, body) and is_known:
        # Their account was missing for more than a day: staff must find out why.
        log.write(log.Event.ORPHAN_RETURNED, severity=logging.CRITICAL)
