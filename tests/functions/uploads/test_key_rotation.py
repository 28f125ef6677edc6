import io
import secrets
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from google.cloud import firestore
from pydantic import Secret

from astra import vault
from astra.runtime.platform import Platform
from astra.vault import Vault, cobblestone, keys, keywrap, vault_of
from astra.vault.cobblestone import HEADER_SIZE, Header
from astra.vault.kms import Keyring, KmsError, LocalKms
from cli.__main__ import main
from tests.support.desk import sit_down
from uploads import key_rotation

BUDGET = timedelta(minutes=1)


class Crash(BaseException):
    """What SIGKILL looks like from inside."""


class Owner:
    """A user with a few sealed objects, kept here in memory."""

    def __init__(self, platform: Platform[Any], objects: int = 3) -> None:
        self.platform, self.uid = platform, secrets.token_hex(14)
        self.sealed = {f"ring-{n:04}": self.seal(f"ring-{n:04}") for n in range(objects)}

    def seal(self, object_id: str) -> bytes:
        sink = io.BytesIO()
        vault.seal(
            io.BytesIO(object_id.encode()), sink, vault_of(self.platform).new_object(self.uid, object_id)["full"]
        )
        return sink.getvalue()

    def all_open(self, keys: Vault | None = None) -> bool:
        for object_id, sealed in self.sealed.items():
            key = (keys or vault_of(self.platform)).find_object(self.uid, object_id)
            content = b"".join(cobblestone.unseal([sealed], key.dek, key.bound_to))
            assert content == object_id.encode()
        return True

    def keys(self) -> dict[str, Any]:
        fields = vault_of(self.platform).user(self.uid).get().to_dict()
        assert fields is not None
        return fields


def rotate(platform: Platform[Any], uid: str | None = None) -> dict[str, Any]:
    """To the end, however often it has to be taken up again."""
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    job = key_rotation.begin(platform, uid)
    for _ in range(20):
        key_rotation.run(platform, job, BUDGET)
        platform.clock.step(minutes=10)  # type: ignore[attr-defined]
        fields = job.get().to_dict()
        assert fields is not None
        if fields["nextRunAt"] is None:
            return fields
    raise AssertionError("the rotation never ends")


def move(platform: Platform[Any]) -> None:
    """To another key of the key service, as a deployment with another setting does."""
    keyring = Keyring(platform.settings.model_copy(update={"kms_uri": "test-kms://new"}))
    keyring._services["test-kms://new"] = LocalKms(b"n" * 32)
    platform.__dict__["vault"] = Vault(platform.vault_db, keyring, platform.pseudonyms, platform.clock)


@pytest.fixture
def platform(platform: Platform[Any], clock: Any) -> Platform[Any]:
    """Over a database of its own: replacing the key service's key touches every user there is."""
    platform.__dict__["vault_db"] = firestore.Client(project="demo-astra", database=f"keys-{secrets.token_hex(8)}")
    return platform


@pytest.fixture
def ada(platform: Platform[Any]) -> Owner:
    return Owner(platform)


def test_a_users_key_is_replaced_and_everything_opens_throughout(ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ada.keys()
    real = key_rotation._update

    def watched(*args: Any) -> int:
        done = real(*args)
        assert ada.all_open()
        return done

    monkeypatch.setattr(key_rotation, "_update", watched)
    monkeypatch.setattr(key_rotation, "_PAGE_KEYS", 2)
    job = rotate(ada.platform, ada.uid)
    assert (job["state"], job["done"], job["total"]) == ("ended", 3, 3)
    assert "uid" not in job
    after = ada.keys()
    assert (after["version"], list(after["keks"])) == (2, ["2"])
    assert before["keks"]["1"] not in after["keks"].values()
    assert ada.all_open()
    ada.sealed["ring-9999"] = ada.seal("ring-9999")
    assert Header.parse(ada.sealed["ring-9999"][:HEADER_SIZE]).key_version == 2
    assert ada.all_open()


def test_an_old_key_kept_aside_opens_nothing_sealed_after_its_end(ada: Owner) -> None:
    stolen = vault_of(ada.platform).kek(ada.keys(), ada.uid, 1)
    rotate(ada.platform, ada.uid)
    stored = vault_of(ada.platform).object(ada.uid, "ring-0000").get().to_dict()
    assert stored is not None
    for version in (1, 2):
        with pytest.raises(InvalidTag):
            keywrap.unwrap(stolen, stored["deks"]["full"], keys._dek_context(ada.uid, "ring-0000", "full", version))


def test_the_key_services_key_is_replaced_and_everything_opens_throughout(
    platform: Platform[Any], ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace = Owner(platform, 1)
    before = ada.keys()
    job = rotate(platform)
    assert job["state"] == "ended"
    assert job["failed"] == 0
    assert (job["done"], job["total"]) == (2, 2)
    after = ada.keys()
    assert after["keks"] != before["keks"]
    assert after["version"] == before["version"]
    assert ada.all_open()
    assert grace.all_open()


def test_another_key_service_takes_over_while_the_old_still_answers(platform: Platform[Any], ada: Owner) -> None:
    """Moving from one KMS key to another: each record says which key wrapped it."""
    move(platform)
    assert ada.all_open()
    rotate(platform)
    assert ada.keys()["kms"] == "test-kms://new"
    assert ada.all_open()
    gone = {"kms_uri": "test-kms://new", "local_kms_key": Secret(bytes(32))}
    without = Keyring(platform.settings.model_copy(update=gone))
    without._services["test-kms://new"] = LocalKms(b"n" * 32)
    assert ada.all_open(Vault(platform.vault_db, without, platform.pseudonyms, platform.clock)), "the old key is needed"


@pytest.mark.parametrize("kind", ["user", "kms"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
def test_a_kill_at_any_write_loses_nothing(ada: Owner, kind: str, nth: int, *, after: bool) -> None:
    calls, real = [0], firestore.DocumentReference.update

    def update(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth and not after:
            raise Crash
        answer = real(self, *args, **kwargs)
        if calls[0] == nth:
            raise Crash
        return answer

    ada.platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    job = key_rotation.begin(ada.platform, ada.uid if kind == "user" else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firestore.DocumentReference, "update", update)
        patch.setattr(key_rotation, "_PAGE_KEYS", 1)
        try:
            key_rotation.run(ada.platform, job, BUDGET)
        except Crash:
            assert ada.all_open()
    ada.platform.clock.step(minutes=10)  # type: ignore[attr-defined]
    assert rotate(ada.platform, ada.uid if kind == "user" else None)["state"] == "ended"
    assert ada.all_open()
    assert len(ada.keys()["keks"]) == 1


def test_objects_made_during_a_rotation_are_never_left_behind(ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = key_rotation._update, [0]

    def meanwhile(*args: Any) -> int:
        made[0] += 1
        ada.sealed[f"late-{made[0]:04}"] = ada.seal(f"late-{made[0]:04}")
        done = real(*args)
        ada.sealed[f"last-{made[0]:04}"] = ada.seal(f"last-{made[0]:04}")
        return done

    monkeypatch.setattr(key_rotation, "_update", meanwhile)
    rotate(ada.platform, ada.uid)
    assert made[0] > 3
    assert list(ada.keys()["keks"]) == ["2"]
    assert ada.all_open()


def test_a_key_read_before_a_rotation_wraps_nothing_after_it(ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    real, rotated = Vault.kek, [False]

    def slow(self: Vault, user: dict[str, Any], uid: str, version: int) -> bytes:
        if not rotated[0]:
            rotated[0] = True
            rotate(ada.platform, ada.uid)
        return real(self, user, uid, version)

    monkeypatch.setattr(Vault, "kek", slow)
    ada.sealed["late-0001"] = ada.seal("late-0001")
    assert list(ada.keys()["keks"]) == ["2"]
    assert ada.all_open()


def test_an_old_key_stays_while_a_page_of_its_objects_could_not_be_changed(
    ada: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = key_rotation._update, [0]

    def unlucky(vault: Vault, snapshot: Any, fields: dict[str, Any]) -> int:
        if "deks" in fields and lost[0] < 3:
            lost[0] += 1
            return 0  # somebody else changed each of them in between
        return real(vault, snapshot, fields)

    monkeypatch.setattr(key_rotation, "_update", unlucky)
    rotate(ada.platform, ada.uid)
    assert lost[0] == 3
    assert ada.all_open()


@pytest.mark.parametrize("page", [1, 100])
def test_a_damaged_key_holds_up_nobody_and_leaves_the_rotation_incomplete_until_it_is_mended(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(key_rotation, "_PAGE_KEYS", page)
    broken, ada = Owner(platform, 1), Owner(platform)
    whole = broken.keys()["keks"]
    vault_of(platform).user(broken.uid).update({"keks": {"1": b"damaged beyond repair, alas"}})
    before = ada.keys()["keks"]
    move(platform)
    job = rotate(platform)
    assert (job["state"], job["done"], job["failed"]) == ("incomplete", 1, 1)
    assert broken.keys()["rewrapFailed"] is True
    assert ada.keys()["keks"] != before
    assert ada.all_open()
    vault_of(platform).user(broken.uid).update({"keks": whole})
    job = rotate(platform)
    assert (job["state"], job["failed"]) == ("ended", 0)
    mended = broken.keys()
    assert "rewrapFailed" not in mended
    assert mended["kms"] == "test-kms://new"
    assert broken.all_open()


def test_a_damaged_object_key_takes_no_other_with_it(platform: Platform[Any], ada: Owner) -> None:
    damaged = vault_of(platform).object(ada.uid, "ring-0000")
    damaged.update({"deks.thumb": b"damaged beyond repair, alas"})
    job = rotate(platform, ada.uid)
    assert (job["state"], job["done"], job["failed"]) == ("incomplete", 2, 1)
    assert "uid" not in job
    stored = damaged.get().to_dict() or {}
    assert (stored["kekVersion"], stored["rewrapFailed"]) == (2, True)
    assert list(ada.keys()["keks"]) == ["2"]
    assert ada.all_open(), "the other variant too"


def test_an_instance_that_wraps_by_another_key_leaves_the_rotation_to_others(
    platform: Platform[Any], ada: Owner
) -> None:
    old = vault_of(platform)
    move(platform)
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    job, new = key_rotation.begin(platform), vault_of(platform)
    before = ada.keys()
    platform.__dict__["vault"] = old
    key_rotation.run(platform, job, BUDGET)
    fields = job.get().to_dict() or {}
    assert (fields["state"], fields["attempts"], fields["done"]) == ("running", 1, 0)
    assert ada.keys() == before
    platform.__dict__["vault"] = new
    assert rotate(platform)["state"] == "ended"
    assert ada.keys()["kms"] == "test-kms://new"


def test_a_rotation_ends_only_when_no_key_is_left_under_the_old_one(platform: Platform[Any], ada: Owner) -> None:
    """An instance that was started before goes on for a while, and makes keys as it always did."""
    old = vault_of(platform)
    move(platform)
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    job, new = key_rotation.begin(platform), vault_of(platform)
    platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    platform.__dict__["vault"] = old
    grace = Owner(platform, 1)
    platform.__dict__["vault"] = new
    key_rotation.run(platform, job, BUDGET)
    fields = job.get().to_dict() or {}
    assert (fields["state"], fields["attempts"]) == ("running", 0)
    assert fields["nextRunAt"] > platform.clock()
    assert rotate(platform)["state"] == "ended"
    assert {owner.keys()["kms"] for owner in (ada, grace)} == {"test-kms://new"}
    assert grace.all_open()


@pytest.mark.parametrize("verb", ["wrap", "unwrap"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_key_service_that_is_down_is_waited_for(
    platform: Platform[Any], ada: Owner, monkeypatch: pytest.MonkeyPatch, others: int, verb: str
) -> None:
    for _ in range(others):
        Owner(platform, 1)
    platform.clock.step(minutes=2)  # type: ignore[attr-defined]
    job = key_rotation.begin(platform)
    with monkeypatch.context() as patch:

        def down(*_: Any) -> bytes:
            raise KmsError("down")

        patch.setattr(LocalKms, verb, down)
        for attempts in (1, 2, 3):
            key_rotation.run(platform, job, BUDGET)
            platform.clock.step(minutes=10)  # type: ignore[attr-defined]
            fields = job.get().to_dict() or {}
            assert (fields["state"], fields["attempts"], fields["failed"]) == ("running", attempts, 0)
    ended = rotate(platform)
    assert (ended["state"], ended["failed"]) == ("ended", 0)
    assert ada.all_open()


def test_the_schedule_takes_up_what_is_due(platform: Platform[Any], ada: Owner) -> None:
    job = key_rotation.begin(platform, ada.uid)
    assert key_rotation.resume(platform, BUDGET) >= 1
    assert (job.get().to_dict() or {})["state"] == "ended"
    with pytest.raises(LookupError):
        key_rotation.begin(platform, "nobody")


def test_staff_see_progress_and_a_table(
    platform: Platform[Any], ada: Owner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sit_down(monkeypatch, platform)
    for arguments in (["rotate", "--user", ada.uid, "--yes"], ["status"]):
        assert main(["keys", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "0 of 3" in printed
    assert "rotation    state         done      of  failed" in printed
    assert ada.uid not in printed
    vault_of(platform).object(ada.uid, "ring-0000").update({"deks.thumb": b"damaged beyond repair, alas"})
    assert main(["keys", "rotate", "--user", ada.uid, "--yes"]) == 1
    assert "incomplete: the old key is still needed" in capsys.readouterr().err
    assert main(["keys", "rotate", "--user", "nobody", "--yes"]) == 1
    assert "no key" in capsys.readouterr().err
