"""Per-user encryption whose keys can be destroyed.

A key of the key service wraps one random key per user (KEK); that wraps random keys for each object (DEKs), one for
each variant of it; those seal the content. Wrapped keys live in the named database `vault`, which has no backups and
no point-in-time recovery, and nowhere else: destroying them turns every copy of the content into noise.

    keys/{uid}                 {version, keks: {version: wrapped KEK}, kms: URI, wrappedAt, createdAt}
    keys/{uid}/objects/{id}    {kekVersion, deks: {variant: wrapped DEK}}
    tombstones/{pseudonym}     an erased user never gets a key again

Every read asks the database for the wrapped key. Only the key service's answer for exactly those bytes is kept, for a
minute: a destroyed key opens nothing from that moment, on a warm instance neither.
"""

import os
import threading
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from cachetools import TTLCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud import firestore

from astra import cobblestone, tombstones
from astra.clock import Clock
from astra.cobblestone import Header, Unopenable, context
from astra.kms import Keyring
from astra.pseudonyms import Pseudonyms
from astra.transactions import transact

VARIANTS: Final = ("full", "thumb")
_CACHED: Final = 60.0
_MOST_CACHED: Final = 1000


class Rotated(Exception):
    """The user's key was replaced meanwhile: read it again."""


@dataclass(frozen=True)
class ObjectKey:
    """What seals and opens one object. Never stored, never printed."""

    dek: bytes = field(repr=False)
    header: Header
    bound_to: bytes = field(repr=False)


class Vault:
    """Makes, finds, re-wraps and destroys keys. One for a process; safe for threads."""

    def __init__(self, db: firestore.Client, keyring: Keyring, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self.db = db
        self._keyring = keyring
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._unwrapped: TTLCache[tuple[str, bytes], bytes] = TTLCache(
            _MOST_CACHED, _CACHED, timer=lambda: clock().timestamp()
        )
        self._lock = threading.Lock()

    def user(self, uid: str) -> firestore.DocumentReference:
        """Where a user's wrapped KEKs are."""
        return self.db.document("keys", uid)

    def object(self, uid: str, object_id: str) -> firestore.DocumentReference:
        """Where an object's wrapped DEKs are."""
        return self.db.document("keys", uid, "objects", object_id)

    def new_object(self, uid: str, object_id: str) -> dict[str, ObjectKey]:
        """The key of each variant of an object, made on first use; asked again, it gives the same keys.

        Raises tombstones.Erased for a user who is being or was erased.
        """
        while True:
            try:
                return self._new_object(uid, object_id)
            except Rotated:
                continue

    def find_object(self, uid: str, object_id: str, header: Header, variant: str = "full") -> ObjectKey:
        """The key of a sealed object; raises Unopenable if it was destroyed or never was."""
        references = (self.user(uid), self.object(uid, object_id))
        found = {snapshot.reference.path: snapshot.to_dict() for snapshot in self.db.get_all(list(references))}
        user, stored = (found[reference.path] for reference in references)
        if not user or not stored or variant not in stored["deks"]:
            raise Unopenable
        return self._object_key(user, stored, uid, object_id, variant, header)

    def destroy_object(self, uid: str, object_id: str) -> None:
        """Make one object's copies noise, wherever they are. Nothing to destroy is success."""
        self.object(uid, object_id).delete()

    def fresh_kek(self, uid: str, version: int) -> dict[str, Any]:
        """The fields of a new, random KEK of that version, wrapped by the key in use."""
        return self._wrapped({str(version): os.urandom(32)}, uid)

    def rewrapped_keks(self, user: dict[str, Any], uid: str) -> dict[str, Any]:
        """The fields of `user` with the same KEKs under the key in use now."""
        return self._wrapped({version: self.kek(user, uid, int(version)) for version in user["keks"]}, uid)

    def rewrapped_deks(self, user: dict[str, Any], stored: dict[str, Any], uid: str, object_id: str) -> dict[str, Any]:
        """The fields of an object with the same DEKs under the user's present KEK."""
        old, new = stored["kekVersion"], user["version"]
        deks = {
            variant: wrap(
                self.kek(user, uid, new),
                unwrap(self.kek(user, uid, old), wrapped, _dek_context(uid, object_id, variant, old)),
                _dek_context(uid, object_id, variant, new),
            )
            for variant, wrapped in stored["deks"].items()
        }
        return {"kekVersion": new, "deks": deks}

    def kek(self, user: dict[str, Any], uid: str, version: int) -> bytes:
        """A user's unwrapped KEK of that version; raises Unopenable if it was destroyed."""
        wrapped = user["keks"].get(str(version))
        if wrapped is None:
            raise Unopenable
        bound_to = _kek_context(uid, version)
        with self._lock:
            self._unwrapped.expire()
            known = self._unwrapped.get((user["kms"], bound_to + wrapped))
        if known is None:
            known = self._keyring.service(user["kms"]).unwrap(wrapped, bound_to)
            with self._lock:
                self._unwrapped[user["kms"], bound_to + wrapped] = known
        return known

    def _new_object(self, uid: str, object_id: str) -> dict[str, ObjectKey]:
        user = self._user_keys(uid)
        version = user["version"]
        kek = self.kek(user, uid, version)
        deks = {
            variant: wrap(kek, os.urandom(32), _dek_context(uid, object_id, variant, version)) for variant in VARIANTS
        }
        keys, objects = self.user(uid), self.object(uid, object_id)

        def ensure(transaction: firestore.Transaction) -> dict[str, Any]:
            tombstones.refuse_erased(transaction, self.db, self._pseudonyms.of_uid(uid))
            if stored := objects.get(transaction=transaction).to_dict():
                return stored
            # A key wrapped by a KEK that a rotation has just done away with could never be opened.
            if keys.get(["version"], transaction=transaction).get("version") != version:
                raise Rotated
            record = {"kekVersion": version, "deks": deks}
            transaction.create(objects, record)
            return record

        stored = transact(self.db, ensure)
        if str(stored["kekVersion"]) not in user["keks"]:
            raise Rotated
        header = Header(stored["kekVersion"])
        return {variant: self._object_key(user, stored, uid, object_id, variant, header) for variant in VARIANTS}

    def _user_keys(self, uid: str) -> dict[str, Any]:
        keys = self.user(uid)
        if stored := keys.get().to_dict():
            return stored
        # Wrapped before the transaction: its body may run again, and a call to the key service is slow.
        fresh = {"version": 1, "createdAt": self._clock(), **self.fresh_kek(uid, 1)}

        def create(transaction: firestore.Transaction) -> dict[str, Any]:
            tombstones.refuse_erased(transaction, self.db, self._pseudonyms.of_uid(uid))
            if stored := keys.get(transaction=transaction).to_dict():
                return stored  # another first upload was faster: there is one key
            transaction.create(keys, fresh)
            return fresh

        return transact(self.db, create)

    def _wrapped(self, keks: dict[str, bytes], uid: str) -> dict[str, Any]:
        uri = self._keyring.uri
        service = self._keyring.service(uri)
        wrapped = {version: service.wrap(kek, _kek_context(uid, int(version))) for version, kek in keks.items()}
        return {"keks": wrapped, "kms": uri, "wrappedAt": self._clock()}

    def _object_key(
        self, user: dict[str, Any], stored: dict[str, Any], uid: str, object_id: str, variant: str, header: Header
    ) -> ObjectKey:
        version = stored["kekVersion"]
        dek = unwrap(
            self.kek(user, uid, version), stored["deks"][variant], _dek_context(uid, object_id, variant, version)
        )
        names = (uid.encode(), object_id.encode(), variant.encode())
        return ObjectKey(dek, header, context(*names, str(header.key_version).encode()))


def seal(source: BinaryIO, sink: BinaryIO, key: ObjectKey) -> None:
    """Write `source` to `sink` as a sealed object."""
    cobblestone.seal(source, sink, key.dek, key.header, key.bound_to)


def wrap(kek: bytes, dek: bytes, bound_to: bytes) -> bytes:
    """AES-256-GCM under a user's key, behind a random nonce."""
    nonce = os.urandom(12)
    return nonce + AESGCM(kek).encrypt(nonce, dek, bound_to)


def unwrap(kek: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
    """The inverse of `wrap`; raises Unopenable."""
    try:
        return AESGCM(kek).decrypt(wrapped[:12], wrapped[12:], bound_to)
    except (InvalidTag, ValueError):
        raise Unopenable from None


def _kek_context(uid: str, version: int) -> bytes:
    return context(b"astra-kek", uid.encode(), str(version).encode())


def _dek_context(uid: str, object_id: str, variant: str, version: int) -> bytes:
    names = (uid, object_id, variant, str(version))
    return context(b"astra-dek", *(name.encode() for name in names))
