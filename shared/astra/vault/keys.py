"""Per-user encryption keys, which can be destroyed.

A key of the key service wraps one random key per user (KEK); that wraps random keys for each object (DEKs), one for
each variant of it; those seal the content. Wrapped keys live in the named database `vault`, which has no backups and
no point-in-time recovery, and nowhere else: destroying them turns every copy of the content into noise.

    keys/{uid}                 {version, keks: {version: wrapped KEK}, kms: URI, wrappedAt, createdAt}
    keys/{uid}/objects/{id}    {kekVersion, deks: {variant: wrapped DEK}}
    tombstones/{pseudonym}     an erased user never gets a key again

`rewrapFailed: true` on either of the first two: the last rotation found a wrapped key there that nothing opens.

Every read asks the database for the wrapped key. Only the key service's answer for exactly those bytes is kept, for a
minute: a destroyed key opens nothing from that moment, on a warm instance neither.
"""

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from cachetools import TTLCache
from cryptography.exceptions import InvalidTag
from google.cloud import firestore

from astra.accounts import tombstones
from astra.accounts.honeytokens import is_honey
from astra.runtime import log
from astra.runtime.clock import Clock
from astra.runtime.documents import fetch
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonyms
from astra.vault import cobblestone, keywrap
from astra.vault.cobblestone import Header, Unopenable, context
from astra.vault.keywrap import KEY_SIZE
from astra.vault.kms import Keyring, Undecryptable
from astra.vault.settings import SealingSettings

VARIANTS: Final = ("full", "thumb")
_CACHE_SECONDS: Final = 60.0
_MAX_CACHED_KEYS: Final = 1000
_MAX_TRIES: Final = 10


class Rotated(Exception):
    """The user's key was made or replaced meanwhile: read it again."""


@dataclass(frozen=True)
class ObjectKey:
    """What seals and opens one variant of one object. Never stored, never printed."""

    dek: bytes = field(repr=False)
    kek_version: int
    names: tuple[bytes, ...] = field(repr=False)

    @property
    def header(self) -> Header:
        """How an object that is sealed now begins."""
        return Header(self.kek_version)

    def bound_to(self, header: Header) -> bytes:
        """The context of an object with that header: it may have been sealed under an older KEK."""
        return context(*self.names, str(header.key_version).encode())


class Vault:
    """Makes, finds, re-wraps and destroys keys. One for a process; safe for threads."""

    def __init__(self, db: firestore.Client, keyring: Keyring, pseudonyms: Pseudonyms, clock: Clock) -> None:
        self.db = db
        self.keyring = keyring
        self._pseudonyms = pseudonyms
        self._clock = clock
        self._unwrapped: TTLCache[tuple[str, bytes], bytes] = TTLCache(
            _MAX_CACHED_KEYS, _CACHE_SECONDS, timer=lambda: clock().timestamp()
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
        for _ in range(_MAX_TRIES):
            try:
                return self._new_object(uid, object_id)
            except Rotated:
                continue
        raise Rotated

    def find_object(self, uid: str, object_id: str, variant: str = "full") -> ObjectKey:
        """The key of a sealed object; raises Unopenable if it was destroyed or never was."""
        if is_honey(self._pseudonyms, uid):
            log.write(log.Event.HONEY_TOUCHED, severity=logging.CRITICAL)
        user, stored = (found.to_dict() for found in fetch(self.db, self.user(uid), self.object(uid, object_id)))
        if not user or not stored or variant not in stored["deks"]:
            raise Unopenable
        return self._object_key(user, stored, uid, object_id, variant)

    def destroy_object(self, uid: str, object_id: str) -> None:
        """Make one object's copies noise, wherever they are. Nothing to destroy is success."""
        self.object(uid, object_id).delete()

    def fresh_kek(self, uid: str, version: int) -> dict[str, Any]:
        """The fields of a new, random KEK of that version, wrapped by the key in use."""
        return self._wrapped({str(version): os.urandom(KEY_SIZE)}, uid)

    def rewrapped_keks(self, user: dict[str, Any], uid: str) -> dict[str, Any]:
        """The fields of `user` with the same KEKs under the key in use now; raises KmsError."""
        keks = {version: self.kek(user, uid, int(version)) for version in user["keks"]}
        return self._wrapped(keks, uid) | {"rewrapFailed": firestore.DELETE_FIELD}

    def rewrapped_deks(self, user: dict[str, Any], stored: dict[str, Any], uid: str, object_id: str) -> dict[str, Any]:
        """The fields of an object with the same DEKs under the user's present KEK; raises KmsError.

        A DEK that opens with no key stays as it is: nothing is lost by it, and it takes no other with it.
        """
        old, new = stored["kekVersion"], user["version"]
        kek, deks, failed = self.kek(user, uid, new), {}, False
        for variant, wrapped in stored["deks"].items():
            try:
                dek = _unwrap(self.kek(user, uid, old), wrapped, _dek_context(uid, object_id, variant, old))
                deks[variant] = keywrap.wrap(kek, dek, _dek_context(uid, object_id, variant, new))
            except Unopenable:
                deks[variant], failed = wrapped, True
        return {"kekVersion": new, "deks": deks, "rewrapFailed": failed or firestore.DELETE_FIELD}

    def kek(self, user: dict[str, Any], uid: str, version: int) -> bytes:
        """A user's unwrapped KEK of that version; raises Unopenable if it was destroyed, and KmsError."""
        wrapped = user["keks"].get(str(version))
        if wrapped is None:
            raise Unopenable
        bound_to = _kek_context(uid, version)
        with self._lock:
            self._unwrapped.expire()
            known = self._unwrapped.get((user["kms"], bound_to + wrapped))
        if known is None:
            known = self.keyring.service(user["kms"]).unwrap(wrapped, bound_to)
            if len(known) != KEY_SIZE:
                raise Undecryptable(f"a user's key must be {KEY_SIZE} bytes long, not {len(known)}")
            with self._lock:
                self._unwrapped[user["kms"], bound_to + wrapped] = known
        return known

    def _new_object(self, uid: str, object_id: str) -> dict[str, ObjectKey]:
        # Read and wrapped before the transaction: its body may run again, and a call to the key service is slow.
        before, stored = self._stored(uid, object_id)
        user = before or {"version": 1, "createdAt": self._clock(), **self.fresh_kek(uid, 1)}
        if stored is None:
            kek, version = self.kek(user, uid, user["version"]), user["version"]
            deks = {
                v: keywrap.wrap(kek, os.urandom(KEY_SIZE), _dek_context(uid, object_id, v, version)) for v in VARIANTS
            }
            made = {"kekVersion": version, "deks": deks}

            def ensure(transaction: firestore.Transaction) -> dict[str, Any]:
                now, stored = self._stored(uid, object_id, transaction)
                # A key wrapped by a KEK that a rotation has just done away with could never be opened, and of two
                # first uploads one makes the KEK of both.
                if (now and now["version"]) != (before and version):
                    raise Rotated
                if stored is None:
                    if now is None:
                        transaction.create(self.user(uid), user)
                    transaction.create(self.object(uid, object_id), made)
                return stored or made

            stored = transact(self.db, ensure)
        if str(stored["kekVersion"]) not in user["keks"]:
            raise Rotated
        return {variant: self._object_key(user, stored, uid, object_id, variant) for variant in VARIANTS}

    def _stored(
        self, uid: str, object_id: str, transaction: firestore.Transaction | None = None
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The wrapped keys of a user and of an object, of somebody who is not being erased."""
        tombstone = tombstones.reference(self.db, self._pseudonyms.of_uid(uid))
        references = (tombstone, self.user(uid), self.object(uid, object_id))
        erased, user, stored = fetch(self.db, *references, transaction=transaction)
        if erased.exists:
            raise tombstones.Erased
        return user.to_dict(), stored.to_dict()

    def _wrapped(self, keks: dict[str, bytes], uid: str) -> dict[str, Any]:
        uri = self.keyring.uri
        service = self.keyring.service(uri)
        wrapped = {version: service.wrap(kek, _kek_context(uid, int(version))) for version, kek in keks.items()}
        return {"keks": wrapped, "kms": uri, "wrappedAt": self._clock()}

    def _object_key(
        self, user: dict[str, Any], stored: dict[str, Any], uid: str, object_id: str, variant: str
    ) -> ObjectKey:
        version = stored["kekVersion"]
        kek = self.kek(user, uid, version)
        dek = _unwrap(kek, stored["deks"][variant], _dek_context(uid, object_id, variant, version))
        return ObjectKey(dek, version, (uid.encode(), object_id.encode(), variant.encode()))


def seal(source: BinaryIO, sink: BinaryIO, key: ObjectKey) -> None:
    """Write `source` to `sink` as a sealed object."""
    cobblestone.seal(source, sink, key.dek, key.header, key.bound_to(key.header))


def _unwrap(kek: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
    try:
        return keywrap.unwrap(kek, wrapped, bound_to)
    except (InvalidTag, ValueError):
        raise Unopenable from None


def _kek_context(uid: str, version: int) -> bytes:
    return context(b"astra-kek", uid.encode(), str(version).encode())


def _dek_context(uid: str, object_id: str, variant: str, version: int) -> bytes:
    names = (uid, object_id, variant, str(version))
    return context(b"astra-dek", *(name.encode() for name in names))


def vault_of(platform: Platform[SealingSettings]) -> Vault:
    """Return the vault of a platform: one for the life of the process."""
    made = vars(platform)
    if "vault" not in made:
        keyring = Keyring(platform.settings, platform.credentials)
        made["vault"] = Vault(platform.vault_db, keyring, platform.pseudonyms, platform.clock)
    vault: Vault = made["vault"]
    return vault
