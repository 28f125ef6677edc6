"""A revision of a profile: read in one transaction, changed by the same one.

users/{uid}                      what the client sees
users/{uid}/consents/{purpose}   see `consent_receipts`
users/{uid}/requests/{id}        that something was rectified, and when: never what it was before
users/{uid}/locks/network        {network, since, openUntil?}: a keyed hash of the one network that sign-in is locked
                                 to; none until `openUntil`, when the next sign-in says which
users/{uid}/locks/{token}        the same of an earlier lock that a legal hold keeps: the sweep deletes it afterwards
"""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.cloud import firestore

from astra import policies, tlog
from astra.datamap.expiry import EXPIRES
from astra.datamap.lookup import lives
from astra.erasure import change_gate, legal_holds
from astra.erasure.change_gate import Bar
from astra.policies import Policy
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

from signup import consent_receipts

_REQUESTS: Final = "requests"
_LOCKS: Final = "network-locks"
_MAX_SIGN_IN_AGE: Final = timedelta(minutes=10)


class Revision:
    """Reads first, in one request, and passes the change gate; raises Barred. Each method then adds a write to the
    transaction. `changes` names the entries of the data map that are changed, but for locks: a lock that a legal hold
    keeps is set aside."""

    def __init__(
        self,
        platform: Platform[Settings],
        transaction: firestore.Transaction,
        uid: str,
        now: datetime,
        *,
        changes: Collection[str],
        even_if: Collection[Bar] = (),
    ) -> None:
        self._uid, self._now, self._platform, self._transaction = uid, now, platform, transaction
        self._profile = platform.db.collection("users").document(uid)
        self._subject = platform.pseudonyms.of_uid(uid)
        consents = [self._consent(purpose) for purpose in consent_receipts.PURPOSES]
        reads = (*change_gate.reads(platform, uid), lock(platform, uid), *consents)
        erased, profile, held, self._lock, *given = fetch(platform.db, *reads, transaction=transaction)
        change_gate.refuse(erased, profile, held, now, changes=changes, even_if=even_if)
        self._held = legal_holds.held(held, now)
        self.profile: dict[str, Any] = profile.to_dict() or {}
        #: The policy that they agreed to last, under which all that they choose stands unless it was withdrawn; None
        #: if it is not known here.
        self._agreed = policies.find(platform.db, self.profile["policyVersion"], transaction)
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

    def accept(self, accepted: Policy) -> bool:
        """Note that a policy was agreed to. Answers whether that is news: who has agreed to a later one has to this,
        unless that one was withdrawn."""
        if self._agreed is not None and not self._agreed.ended and self._agreed.version >= accepted.version:
            return False
        self._transaction.update(self._profile, {"policyVersion": accepted.version})
        self._give(consent_receipts.TERMS, accepted)
        return True

    def consent(self, purpose: str, *, given: bool) -> None:
        """Note in receipt and log that an optional consent was given or taken back; what stands so changes nothing."""
        receipt = self._receipts.get(purpose)
        stands = receipt is not None and receipt["state"] == "given"
        if given and not stands:
            if self._agreed is None or self._agreed.ended:
                raise HttpsError(FunctionsErrorCode.FAILED_PRECONDITION, "Read the policy and agree to it first.")
            self._give(purpose, self._agreed)
        elif receipt is not None and stands and not given:
            changes = consent_receipts.withdrawn(receipt, self._now)
            self._transaction.update(self._consent(purpose), changes)
            self._log(purpose, changes)

    def _give(self, purpose: str, agreed: Policy) -> None:
        """Anew or again: a receipt says what it covers by the data map of today."""
        age_screen = (self._receipts.get(consent_receipts.TERMS) or {}).get("ageScreen", "")
        receipt = consent_receipts.given(
            self._subject, purpose, agreed, age_screen, self._now, self._receipts.get(purpose)
        )
        self._transaction.set(self._consent(purpose), receipt)
        self._log(purpose, receipt)

    def _log(self, purpose: str, changes: dict[str, Any]) -> None:
        entry = consent_receipts.logged(self._subject, purpose, changes, self._now)
        tlog.append(self._transaction, self._platform.db, entry)

    def lock(self, network: str) -> None:
        """Lock sign-in to a masked network, of which a keyed hash is kept."""
        self._set_aside()
        self._transaction.set(self._lock.reference, locked(self._platform, self._uid, network, self._now))
        self._show(locked=True)

    def open_once(self) -> None:
        """Let the next sign-in come from anywhere, and lock to the network that it comes from, as Auth sees it."""
        self._set_aside()
        self._transaction.set(
            self._lock.reference, {"network": None, "since": self._now, "openUntil": self._now + _MAX_SIGN_IN_AGE}
        )

    def unlock(self) -> None:
        """Let sign-in come from anywhere, and forget the network."""
        self._set_aside()
        self._transaction.delete(self._lock.reference)
        self._show(locked=False)

    def _set_aside(self) -> None:
        """Keep the lock that is about to be replaced, if a legal hold names locks: until the hold ends, the sweep
        leaves it."""
        if self._lock.exists and _LOCKS in self._held:
            kept = {**(self._lock.to_dict() or {}), EXPIRES: self._now}
            self._transaction.create(self._profile.collection("locks").document(secrets.token_hex(10)), kept)

    def _show(self, *, locked: bool) -> None:
        if self.profile["ipLock"] != locked:
            self._transaction.update(self._profile, {"ipLock": locked})

    def _consent(self, purpose: str) -> firestore.DocumentReference:
        return self._platform.db.document("users", self._uid, "consents", purpose)


def revise(
    platform: Platform[Settings],
    uid: str,
    change: Callable[[Revision], None],
    now: datetime,
    *,
    changes: Collection[str],
    even_if: Collection[Bar] = (),
) -> None:
    """Run `change` on a person's revision in one transaction; raises Barred."""

    def body(transaction: firestore.Transaction) -> None:
        change(Revision(platform, transaction, uid, now, changes=changes, even_if=even_if))

    transact(platform.db, body)


def lock(platform: Platform[Settings], uid: str) -> firestore.DocumentReference:
    """Where the network that a person's sign-in is locked to is kept."""
    return platform.db.document("users", uid, "locks", "network")


def locked(platform: Platform[Settings], uid: str, network: str, now: datetime) -> dict[str, Any]:
    """What is kept there of a masked network."""
    return {"network": platform.pseudonyms.of_network(uid, network), "since": now}
