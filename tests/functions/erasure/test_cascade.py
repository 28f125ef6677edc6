"""The cascade and its verifier in this process, over the real stores, to stop them between any two of their steps."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from firebase_admin import auth
from google.cloud import firestore
from google.cloud.firestore_v1.transaction import _Transactional
from google.cloud.storage import Blob
from redis import Redis

from astra import erasure, policies
from astra.accounts import tombstones
from astra.datamap.model import Entry, Subject
from astra.datamap.table import DATA_MAP
from astra.runtime import rate_limits
from astra.runtime.platform import Platform
from astra.vault import vault_of
from erasure import verifier
from tests.functions.erasure.somebody import Somebody


class Crash(BaseException):
    """What SIGKILL looks like from inside: nothing of ours may catch it."""


def test_everything_of_a_person_goes_and_nothing_of_their_neighbours(platform: Platform[Any], ada: Somebody) -> None:
    # Names that a prefix without its slash, or a substring match, would take along.
    neighbours = [Somebody(platform, ada.uid + "x"), Somebody(platform, "x" + ada.uid)]
    before = [neighbour.places() for neighbour in neighbours]
    assert len(ada.places()) > 10
    job = ada.erase()
    assert job["state"] == "verified"
    assert ada.places() == set()
    assert [neighbour.places() for neighbour in neighbours] == before


def test_the_certificate_counts_what_was_confirmed_and_nothing_personal_stays(ada: Somebody) -> None:
    job = ada.erase()
    certificate = job["certificate"]
    deleted = {line["entry"]: line["deleted"] for line in certificate["stores"]}
    assert deleted == {
        "replicate-artefacts": 0,
        "uploads": 1,
        "sealed-images": 1,
        "sealed-thumbnails": 0,
        "short-lived-keys": 1,
        "enrolments": 1,
        "consents": 1,
        "image-records": 1,
        "prompts": 0,
        "predictions": 0,
        "events": 0,
        "profile": 1,
        "object-keys": 1,
        "user-key": 1,
        "rotations": 0,
        "account": 1,
        "erasure": 0,
        "legal-holds": 0,
        "log-entries": 0,
        "network-locks": 0,
        "notices": 0,
        "deliveries": 0,
        "exposures": 0,
        "exposed-and-gone": 0,
        "suspensions": 0,
        "child-removals": 0,
        "staff-proposals": 0,
        "staff": 0,
        "requests": 0,
        "sign-in-codes": 0,
        "tombstone": 0,
        "vault-tombstone": 0,
        "unmapped-firestore": 2,
    }
    assert certificate["policyVersion"] == policies.FIRST
    assert ada.uid not in repr(job)
    assert "uid" not in job


def test_n_deliveries_are_one(ada: Somebody) -> None:
    certificate = ada.erase()["certificate"]
    assert erasure.begin(ada.platform, ada.uid, ada.platform.clock()) is False
    for _ in range(3):
        ada.work()
    assert ada.fields()["certificate"] == certificate


def test_an_erasure_begins_although_the_profile_changes_at_each_look(ada: Somebody) -> None:
    looks = 0

    def change(profile: firestore.DocumentSnapshot[Any]) -> None:
        nonlocal looks
        looks += 1
        if looks <= erasure.TRIES:
            profile.reference.update({"looks": looks})

    assert erasure.begin(ada.platform, ada.uid, ada.platform.clock(), refuse=change)
    assert looks == erasure.TRIES + 1
    assert ada.erase()["state"] == "verified"


def test_what_appears_after_the_cascade_reopens_it(ada: Somebody) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.work()
    assert ada.fields()["step"] == "verify"
    # A write that was under way when the erasure began.
    late = ada.platform.bucket.blob(f"images/{ada.uid}/ring-0009")
    late.upload_from_string(b"late")
    ada.platform.clock.step(hours=2)  # type: ignore[attr-defined]
    ada.work()
    assert ada.fields()["reopened"] == 1
    assert ada.fields()["state"] == "running"
    assert ada.erase()["state"] == "verified"
    assert not late.exists()


def test_the_first_step_ends_the_gathering_of_usage_events(ada: Somebody) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.platform.redis.set(rate_limits.active_of(ada.uid), 1, ex=60)
    ada.work()
    assert not ada.platform.redis.exists(rate_limits.active_of(ada.uid))


def test_what_comes_back_every_time_ends_stuck_and_visible(ada: Somebody, monkeypatch: pytest.MonkeyPatch) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    real = verifier.found

    def haunted(platform: Platform[Any], *more: Any) -> Any:
        platform.bucket.blob(f"images/{ada.uid}/ghost-0001").upload_from_string(b"again")
        return real(platform, *more)

    monkeypatch.setattr(verifier, "found", haunted)
    assert ada.erase()["state"] == "stuck"
    assert "certificate" not in ada.fields()


PLACES = [
    ("disable account", auth, "update_user"),
    ("transaction", _Transactional, "__call__"),
    ("delete object", Blob, "delete"),
    ("delete keys", Redis, "unlink"),
    ("delete documents", firestore.WriteBatch, "commit"),
    ("delete account", auth, "delete_user"),
    ("look for account", auth, "get_users"),
]


@pytest.mark.parametrize("fault", [Crash, OSError])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), [place[1:] for place in PLACES], ids=[place[0] for place in PLACES])
def test_a_fault_at_any_call_delays_the_erasure_and_no_more(
    ada: Somebody,
    owner: Any,
    name: str,
    after: bool,
    fault: type[BaseException],
) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    real, calls = getattr(owner, name), [0]

    def call(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] not in (1, 3):
            return real(*args, **kwargs)
        if after:
            real(*args, **kwargs)
        raise fault

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, call)
        for _ in range(8):
            with suppress(fault):
                ada.work()
            ada.platform.clock.step(hours=2)  # type: ignore[attr-defined]
    assert calls[0] > 0, f"{name} is not called any more: mend this test"
    assert ada.erase()["state"] == "verified"
    assert ada.places() == set()


def test_somebody_new_with_the_same_address_is_not_touched(ada: Somebody) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.work()
    ada.platform.clock.step(minutes=5)  # type: ignore[attr-defined]
    enrolment = ada.platform.db.document(f"enrolments/{ada.platform.pseudonyms.of_email(ada.email)}")
    enrolment.set({"createdAt": ada.platform.clock()})
    assert ada.erase()["state"] == "verified"
    assert enrolment.get().exists


def test_an_account_removed_in_the_console_is_erased_all_the_same(ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=ada.platform.app)
    assert ada.erase()["state"] == "verified"
    assert ada.places() == set()


def test_a_dead_redis_delays_and_is_not_taken_for_an_empty_one(ada: Somebody) -> None:
    alive = ada.platform.redis
    ada.platform.__dict__["redis"] = rate_limits.connect("redis://127.0.0.1:9/0")
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.work()
    assert (ada.fields()["step"], ada.fields()["attempts"]) == ("redis", 1)
    ada.platform.__dict__["redis"] = alive
    assert ada.erase()["state"] == "verified"


def test_the_vault_has_a_tombstone_too(ada: Somebody) -> None:
    ada.erase()
    for db in (ada.platform.db, ada.platform.vault_db):
        assert tombstones.reference(db, ada.subject).get().exists
    with pytest.raises(tombstones.Erased):
        vault_of(ada.platform).new_object(ada.uid, "ring-0003")


def test_the_certificate_names_the_platforms_own_copies_and_when_they_end(
    platform: Platform[Any], ada: Somebody
) -> None:
    days = {"soft-delete": 7, "backup": 98, "point-in-time-recovery": 7}
    platform.__dict__["settings"] = platform.settings.model_copy(update={"copies_days": days})
    certificate = ada.erase()["certificate"]
    verified = datetime.fromisoformat(certificate["verifiedAt"])
    ends = {line["copy"]: datetime.fromisoformat(line["until"]) - verified for line in certificate["residual"]}
    assert {copy: end.days for copy, end in ends.items()} == days


@pytest.mark.parametrize("store", ["auth", "redis", "storage", "firestore", "vault", "enrolment"])
def test_the_verifier_sees_each_store_by_itself(ada: Somebody, store: str) -> None:
    person = Subject(ada.uid, ada.subject, ada.platform.pseudonyms.of_email(ada.email), ada.platform.clock())
    whole = set(verifier.found(ada.platform, person, []))
    names = {
        "auth": {"account"},
        "redis": {"short-lived-keys"},
        "storage": {"sealed-images", "uploads"},
        "firestore": {"profile", "consents", "image-records"},
        "vault": {"user-key", "object-keys"},
        "enrolment": {"enrolments"},
    }[store]
    assert names <= whole
    ada.erase()
    assert set(verifier.found(ada.platform, person, [])) == {"erasure", "log-entries", "tombstone", "vault-tombstone"}


def test_a_long_verification_makes_checkpoints_and_looks_at_everything(
    ada: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.hold("sealed-images", "image-records", days=300)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    real, looked = verifier.found, []

    def slow(platform: Platform[Any], person: Subject, files: list[str], entries: list[Entry]) -> Any:
        looked.append((platform.clock(), *(entry.name for entry in entries)))
        platform.clock.step(minutes=4)  # type: ignore[attr-defined]
        return real(platform, person, files, entries)

    monkeypatch.setattr(verifier, "found", slow)
    while ada.fields()["step"] != erasure.HELD:
        ada.platform.clock.step(hours=2)  # type: ignore[attr-defined]
        ada.work()
    assert [name for _, name in looked] == [entry.name for entry in DATA_MAP]
    assert ada.fields()["attempts"] == 0
    retained = {line["entry"]: line["retained"] for line in ada.fields()["certificate"]["stores"]}
    assert {name: retained[name] for name in ("sealed-images", "image-records", "object-keys", "user-key")} == {
        "sealed-images": 1,
        "image-records": 1,
        "object-keys": 1,
        "user-key": 1,
    }


def test_twenty_who_ask_and_work_at_once_are_one(ada: Somebody) -> None:
    def ask(_: int) -> bool:
        return erasure.begin(ada.platform, ada.uid, ada.platform.clock())

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) == 1
        began = time.monotonic()
        list(pool.map(lambda _: ada.work(), range(20)))
    assert ada.fields()["fence"] == 1
    assert time.monotonic() - began < 60, "workers must not wait for each other"
    assert ada.erase()["state"] == "verified"
