import io
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Secret

from astra import vault
from astra.accounts import tombstones
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.vault import ObjectKey, Vault, cobblestone, keys, vault_of
from astra.vault.cobblestone import Unopenable
from astra.vault.kms import Keyring, KmsError, LocalKms, Undecryptable


def seal(key: ObjectKey, content: bytes = b"a ring") -> bytes:
    sink = io.BytesIO()
    vault.seal(io.BytesIO(content), sink, key)
    return sink.getvalue()


def unseal(platform: Platform[Any], uid: str, object_id: str, sealed: bytes) -> bytes:
    key = vault_of(platform).find_object(uid, object_id)
    return b"".join(cobblestone.unseal([sealed], key.dek, key.bound_to))


@pytest.fixture
def uid() -> str:
    return secrets.token_hex(14)


def test_what_a_user_seals_opens_for_that_object_only(platform: Platform[Any], uid: str) -> None:
    sealed = seal(vault_of(platform).new_object(uid, "ring-0001")["full"])
    vault_of(platform).new_object(uid, "ring-0002")["full"]
    vault_of(platform).new_object(uid + "x", "ring-0001")["full"]
    assert unseal(platform, uid, "ring-0001", sealed) == b"a ring"
    for other, object_id in ((uid, "ring-0002"), (uid + "x", "ring-0001"), (uid, "ring-0003"), ("nobody", "ring-0001")):
        with pytest.raises(Unopenable):
            unseal(platform, other, object_id, sealed)


def test_a_stolen_wrapped_key_is_no_use_in_another_place(platform: Platform[Any], uid: str) -> None:
    sealed = seal(vault_of(platform).new_object(uid, "ring-0001")["full"])
    db = platform.vault_db
    # Somebody who can write to the database hands the user's keys to an account of their own.
    thief = uid + "-thief"
    for path in ("", "/objects/ring-0001"):
        fields = db.document(f"keys/{uid}{path}").get().to_dict()
        assert fields is not None
        db.document(f"keys/{thief}{path}").set(fields)
    with pytest.raises(KmsError):
        unseal(platform, thief, "ring-0001", sealed)


def test_two_first_uploads_at_once_make_one_key(platform: Platform[Any], uid: str) -> None:
    platform.vault_db.document("keys/warm-up").get()
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda n: vault_of(platform).new_object(uid, f"ring-{n % 2:04}")["full"], range(8)))
    assert len({key.dek for key in keys}) == 2
    stored = platform.vault_db.document(f"keys/{uid}").get().to_dict()
    assert stored is not None
    assert list(stored["keks"]) == ["1"]
    for number, key in enumerate(keys):
        assert unseal(platform, uid, f"ring-{number % 2:04}", seal(key)) == b"a ring"


def test_a_destroyed_object_key_makes_its_copies_noise(platform: Platform[Any], uid: str) -> None:
    kept_aside = seal(vault_of(platform).new_object(uid, "ring-0001")["full"])
    vault_of(platform).destroy_object(uid, "ring-0001")
    vault_of(platform).destroy_object(uid, "ring-0001")  # gone is success
    with pytest.raises(Unopenable):
        unseal(platform, uid, "ring-0001", kept_aside)
    vault_of(platform).new_object(uid, "ring-0001")["full"]  # a new key of the same name opens nothing old
    with pytest.raises(Unopenable):
        unseal(platform, uid, "ring-0001", kept_aside)


@pytest.mark.parametrize("known", [True, False], ids=["had keys", "never had keys"])
def test_an_erased_user_never_gets_a_key_again(platform: Platform[Any], uid: str, known: bool) -> None:
    if known:
        vault_of(platform).new_object(uid, "ring-0001")["full"]
    db, subject = platform.vault_db, platform.pseudonyms.of_uid(uid)

    transact(db, lambda transaction: tombstones.bury(transaction, db, subject, platform.clock()))
    with pytest.raises(tombstones.Erased):
        vault_of(platform).new_object(uid, "ring-0002")["full"]


def test_nothing_stored_or_printed_holds_a_plain_key(platform: Platform[Any], uid: str) -> None:
    key = vault_of(platform).new_object(uid, "ring-0001")["full"]
    stored = [platform.vault_db.document(p).get().to_dict() for p in (f"keys/{uid}", f"keys/{uid}/objects/ring-0001")]
    assert key.dek not in repr(stored).encode()
    assert key.dek.hex() not in repr(stored)
    assert repr(key.dek)[2:-1] not in repr(key) + repr(stored)


def test_under_another_master_key_nothing_opens(platform: Platform[Any], uid: str) -> None:
    vault_of(platform).new_object(uid, "ring-0001")
    other = platform.settings.model_copy(update={"local_kms_key": Secret(bytes(32))})
    stranger = Vault(platform.vault_db, Keyring(other), platform.pseudonyms, platform.clock)
    with pytest.raises(KmsError, match="does not open") as refusal:
        stranger.find_object(uid, "ring-0001")
    assert refusal.value.__cause__ is None


def test_variants_have_keys_of_their_own_and_do_not_open_each_other(platform: Platform[Any], uid: str) -> None:
    keys = vault_of(platform).new_object(uid, "ring-0001")
    assert keys["full"].dek != keys["thumb"].dek
    sealed = seal(keys["full"])
    thumb = vault_of(platform).find_object(uid, "ring-0001", "thumb")
    with pytest.raises(Unopenable):
        b"".join(cobblestone.unseal([sealed], thumb.dek, thumb.bound_to))


def test_the_key_service_is_asked_once_a_minute_for_a_user(
    platform: Platform[Any], uid: str, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bytes] = []
    real = LocalKms.unwrap

    def counted(self: LocalKms, wrapped: bytes, bound_to: bytes) -> bytes:
        calls.append(wrapped)
        return real(self, wrapped, bound_to)

    monkeypatch.setattr(LocalKms, "unwrap", counted)
    sealed = seal(vault_of(platform).new_object(uid, "ring-0001")["full"])
    for _ in range(3):
        unseal(platform, uid, "ring-0001", sealed)
    assert len(calls) == 1
    clock.step(seconds=61)
    unseal(platform, uid, "ring-0001", sealed)
    assert len(calls) == 2


@pytest.mark.parametrize("waited", [0, 61], ids=["at once", "after the cache's life"])
def test_a_warm_instance_does_not_open_what_was_shredded(
    platform: Platform[Any], uid: str, clock: Any, waited: int
) -> None:
    kept_aside = seal(vault_of(platform).new_object(uid, "ring-0001")["full"])
    assert unseal(platform, uid, "ring-0001", kept_aside) == b"a ring"  # warm
    # What erasure does, in another process: this one is told nothing.
    for document in (vault_of(platform).object(uid, "ring-0001"), vault_of(platform).user(uid)):
        document.delete()
    clock.step(seconds=waited)
    with pytest.raises(Unopenable):
        unseal(platform, uid, "ring-0001", kept_aside)
    # Not even with the object's own wrapped key, kept aside too: the key that wrapped it is gone.
    with pytest.raises(Unopenable):
        vault_of(platform).kek({"keks": {}, "kms": "local"}, uid, 1)


def test_an_object_is_bound_to_its_place_even_under_the_same_key(platform: Platform[Any], uid: str) -> None:
    """Somebody who can write to the vault gives two objects one key: their contents still can't be swapped."""
    keys = [vault_of(platform).new_object(uid, name) for name in ("ring-0001", "ring-0002")]
    places = {key.bound_to(key.header) for pair in keys for key in pair.values()}
    assert len(places) == 4, "owner, object and variant must each tell places apart"
    sealed = seal(keys[0]["full"])
    for other in (keys[0]["thumb"], keys[1]["full"]):
        with pytest.raises(Unopenable):
            b"".join(cobblestone.unseal([sealed], keys[0]["full"].dek, other.bound_to))


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33, 64])
def test_a_stored_key_of_another_size_opens_nothing(platform: Platform[Any], uid: str, size: int) -> None:
    """Somebody who can wrap, or a key service that answers wrongly, must not choose a weaker cipher."""

    def wrapped(kek: bytes, context: bytes) -> bytes:
        return bytes(12) + AESGCM(kek).encrypt(bytes(12), bytes(size), context)

    vault_of(platform).new_object(uid, "ring-0001")
    user, stored = vault_of(platform).user(uid), vault_of(platform).object(uid, "ring-0001")
    kek = vault_of(platform).kek(user.get().to_dict() or {}, uid, 1)
    stored.update({"deks.full": wrapped(kek, keys._dek_context(uid, "ring-0001", "full", 1))})
    with pytest.raises(Unopenable):
        vault_of(platform).find_object(uid, "ring-0001")
    service = platform.settings.local_kms_key.get_secret_value()
    for answer in ({}, {"unwrap": lambda *_: bytes(size)}):  # the local service, then any other
        vault_of(platform).keyring._services["local"] = type("Service", (LocalKms,), answer)(service)
        user.update({"keks.`1`": wrapped(service, keys._kek_context(uid, 1))})
        with pytest.raises(Undecryptable):
            vault_of(platform).find_object(uid, "ring-0001")
