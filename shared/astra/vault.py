"""Per-user encryption whose keys can be destroyed.

A key of the key service wraps one random key per user (KEK); that wraps one random key per object (DEK); that seals
the content. Wrapped keys live in the named database `vault`, which has no backups and no point-in-time recovery, and
nowhere else: destroying them turns every copy of the content, wherever it survives, into noise.

    keys/{uid}                 {version, keks: {version: wrapped KEK}, createdAt}
    keys/{uid}/objects/{id}    {kekVersion, deks: {variant: wrapped DEK}}
    tombstones/{pseudonym}     an erased user never gets a key again
"""

import os
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud import firestore

from astra import cobblestone, tombstones
from astra.clock import Clock
from astra.cobblestone import Header, Unopenable, context
from astra.kms import Kms
from astra.pseudonyms import Pseudonyms
from astra.transactions import transact


@dataclass(frozen=True)
class ObjectKey:
    """What seals and opens one object. Never stored, never printed."""

    dek: bytes = field(repr=False)
    header: Header
    bound_to: bytes = field(repr=False)


class Vault:
    """Makes, finds and destroys keys. One for a process; safe for threads."""

    def __init__(self, db: firestore.Client, kms: Kms, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self._db = db
        self._kms = kms
        self._pseudonyms = pseudonyms
        self._clock = clock

    def new_object(self, uid: str, object_id: str, variant: str = "full") -> ObjectKey:
        """The key to seal an object with, made on first use; a second call for the same object gives the same key.

        Raises tombstones.Erased for a user who is being or was erased.
        """
        user = self._user_keys(uid)
        version = user["version"]
        kek = self._unwrap_kek(user, uid, version)
        dek = os.urandom(32)
        wrapped = _wrap(kek, dek, _dek_context(uid, object_id, variant, version))
        objects = self._object(uid, object_id)

        def ensure_object(transaction: firestore.Transaction) -> dict[str, Any]:
            tombstones.refuse_erased(transaction, self._db, self._pseudonyms.of_uid(uid))
            stored = objects.get(transaction=transaction).to_dict()
            if stored and variant in stored["deks"]:
                return stored
            record = {"kekVersion": version, "deks": {variant: wrapped}}
            transaction.set(objects, record, merge=True)
            return record

        stored = transact(self._db, ensure_object)
        return self._object_key(user, stored, uid, object_id, variant, Header(version))

    def find_object(self, uid: str, object_id: str, header: Header, variant: str = "full") -> ObjectKey:
        """The key of a sealed object; raises Unopenable if it was destroyed or never was."""
        user, stored = (
            snapshot.to_dict()
            for snapshot in sorted(
                self._db.get_all([self._user(uid), self._object(uid, object_id)]),
                key=lambda snapshot: len(snapshot.reference.path),
            )
        )
        if not user or not stored:
            raise Unopenable
        return self._object_key(user, stored, uid, object_id, variant, header)

    def destroy_object(self, uid: str, object_id: str) -> None:
        """Make one object's copies noise, wherever they are. Nothing to destroy is success."""
        self._object(uid, object_id).delete()

    def _user_keys(self, uid: str) -> dict[str, Any]:
        keys = self._user(uid)
        if stored := keys.get().to_dict():
            return stored
        # Wrapped before the transaction: its body may run again, and a call to the key service is slow.
        fresh = {
            "version": 1,
            "keks": {"1": self._kms.wrap(os.urandom(32), _kek_context(uid, 1))},
            "createdAt": self._clock(),
        }

        def create(transaction: firestore.Transaction) -> dict[str, Any]:
            tombstones.refuse_erased(transaction, self._db, self._pseudonyms.of_uid(uid))
            if stored := keys.get(transaction=transaction).to_dict():
                return stored  # another first upload was faster: there is one key
            transaction.create(keys, fresh)
            return fresh

        return transact(self._db, create)

    def _object_key(
        self,
        user: dict[str, Any],
        stored: dict[str, Any],
        uid: str,
        object_id: str,
        variant: str,
        header: Header,
    ) -> ObjectKey:
        version = stored["kekVersion"]
        wrapped = stored["deks"].get(variant)
        if wrapped is None:
            raise Unopenable
        kek = self._unwrap_kek(user, uid, version)
        dek = _unwrap(kek, wrapped, _dek_context(uid, object_id, variant, version))
        names = (uid.encode(), object_id.encode(), variant.encode())
        return ObjectKey(dek, header, context(*names, str(header.key_version).encode()))

    def _unwrap_kek(self, user: dict[str, Any], uid: str, version: int) -> bytes:
        wrapped = user["keks"].get(str(version))
        if wrapped is None:
            raise Unopenable
        return self._kms.unwrap(wrapped, _kek_context(uid, version))

    def _user(self, uid: str) -> firestore.DocumentReference:
        return self._db.document("keys", uid)

    def _object(self, uid: str, object_id: str) -> firestore.DocumentReference:
        return self._db.document("keys", uid, "objects", object_id)


def seal(source: BinaryIO, sink: BinaryIO, key: ObjectKey) -> None:
    """Write `source` to `sink` as a sealed object."""
    cobblestone.seal(source, sink, key.dek, key.header, key.bound_to)


def _kek_context(uid: str, version: int) -> bytes:
    return context(b"astra-kek", uid.encode(), str(version).encode())


def _dek_context(uid: str, object_id: str, variant: str, version: int) -> bytes:
    names = (uid, object_id, variant, str(version))
    return context(b"astra-dek", *(name.encode() for name in names))


def _wrap(kek: bytes, dek: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(kek).encrypt(nonce, dek, bound_to)


def _unwrap(kek: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
    try:
        return AESGCM(kek).decrypt(wrapped[:12], wrapped[12:], bound_to)
    except (InvalidTag, ValueError):
        raise Unopenable from None
