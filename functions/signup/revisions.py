"""One person's profile, consents and lock, as read in a transaction, and what that transaction changes in them.

users/{uid}                      what the client sees
users/{uid}/consents/{purpose}   see `receipts`
users/{uid}/requests/{id}        that something was rectified, and when: never what it was before
users/{uid}/locks/network        {network, since}: a keyed hash of the one network that sign-in is locked to
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

import receipts
from astra import tlog, tombstones
from astra.claims import lives
from astra.documents import fetch
from astra.platform import Platform
from astra.policy import Policy
from astra.settings import SignupSettings
from astra.transactions import transact

_REQUESTS: Final = "requests"


class Inactive(Exception):
    """There is no active profile: it never was, or is being erased."""


class Revision:
    """Reads first, in one request; raises Inactive. Each method then adds a write to the transaction."""

    def __init__(
        self, platform: Platform[SignupSettings], transaction: firestore.Transaction, uid: str, now: datetime
    ) -> None:
        self._uid, self._now, self._platform, self._transaction = uid, now, platform, transaction
        self._profile = platform.db.collection("users").document(uid)
        self._subject = platform.pseudonyms.of_uid(uid)
        consents = [self._consent(purpose) for purpose in receipts.PURPOSES]
        tombstone = tombstones.reference(platform.db, self._subject)
        erased, profile, *given = fetch(platform.db, tombstone, self._profile, *consents, transaction=transaction)
        self.profile: dict[str, Any] = profile.to_dict() or {}
        if erased.exists or self.profile.get("state") != "active":
            raise Inactive
        self._receipts = {snapshot.id: snapshot.to_dict() for snapshot in given if snapshot.exists}

    def rectify(self, changes: dict[str, Any]) -> None:
        """Change what differs, and note which fields did."""
        changed = {name: value for name, value in changes.items() if self.profile.get(name) != value}
        if not changed:
            return
        self._transaction.update(self._profile, changed)
        request = {
            "kind": "rectification",
            "state": "done",
            "fields": sorted(changed),
            "createdAt": self._now,
            "dueAt": self._now,
            "expireAt": self._now + lives(_REQUESTS),
        }
        self._transaction.create(self._profile.collection(_REQUESTS).document(secrets.token_hex(10)), request)

    def accept(self, policy: Policy) -> bool:
        """Note that a policy was agreed to. Answers whether that is news."""
        if self.profile["policyVersion"] == policy.version:
            return False
        self._transaction.update(self._profile, {"policyVersion": policy.version})
        self.consent(receipts.TERMS, policy, given=True)
        return True

    def consent(self, purpose: str, policy: Policy, *, given: bool) -> None:
        """Note in receipt and log that a consent was given or taken back; what stands so already changes nothing."""
        receipt, terms = self._receipts.get(purpose), self._receipts.get(receipts.TERMS) or {}
        stands = receipt is not None and receipt["state"] == "given"
        if receipt is None and given:
            changes = receipts.given(self._subject, purpose, policy, terms.get("ageScreen", ""), self._now)
            self._transaction.create(self._consent(purpose), changes)
        elif receipt is not None and given and (not stands or receipt["policyVersion"] != policy.version):
            changes = receipts.renewed(receipt, policy, self._now)
            self._transaction.update(self._consent(purpose), changes)
        elif receipt is not None and stands and not given:
            changes = receipts.withdrawn(receipt, self._now)
            self._transaction.update(self._consent(purpose), changes)
        else:
            return
        entry = receipts.logged(self._subject, purpose, changes, self._now)
        tlog.append(self._transaction, self._platform.db, entry)

    def lock(self, network: str) -> None:
        """Lock sign-in to a masked network, of which a keyed hash is kept."""
        kept = {"network": self._platform.pseudonyms.of_network(self._uid, network), "since": self._now}
        self._transaction.set(lock(self._platform, self._uid), kept)
        self._show(locked=True)

    def unlock(self) -> None:
        """Let sign-in come from anywhere, and forget the network."""
        self._transaction.delete(lock(self._platform, self._uid))
        self._show(locked=False)

    def _show(self, *, locked: bool) -> None:
        if self.profile["ipLock"] != locked:
            self._transaction.update(self._profile, {"ipLock": locked})

    def _consent(self, purpose: str) -> firestore.DocumentReference:
        return self._platform.db.document("users", self._uid, "consents", purpose)


def revise(platform: Platform[SignupSettings], uid: str, change: Callable[[Revision], None], now: datetime) -> None:
    """Run `change` on a person's revision in one transaction; refuses the request of who is not active."""
    try:
        transact(platform.db, lambda transaction: change(Revision(platform, transaction, uid, now)))
    except Inactive:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is not active.") from None


def lock(platform: Platform[SignupSettings], uid: str) -> firestore.DocumentReference:
    """Where the network that a person's sign-in is locked to is kept."""
    return platform.db.document("users", uid, "locks", "network")
