"""The cascade and its verifier in this process, over the real stores, to stop them between any two of their steps."""

import io
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from firebase_admin import auth
from google.cloud import firestore
from google.cloud.firestore_v1.transaction import _Transactional
from google.cloud.storage import Blob
from redis import Redis

import cascade
import erasing
import verifier
from astra import jobs, limits, policy, tombstones
from astra.datamap import Subject
from astra.platform import Platform
from astra.pseudonyms import Pseudonym

BUDGET = timedelta(minutes=1)


class Crash(BaseException):
    """What SIGKILL looks like from inside: nothing of ours may catch it."""


class Somebody:
    """A person with data in every store, some of it where no code of ours would put it."""

    def __init__(self, platform: Platform[Any], uid: str | None = None) -> None:
        self.platform = platform
        self.uid = uid or secrets.token_hex(10)
        self.email = f"{self.uid}@example.com"
        self.subject: Pseudonym = platform.pseudonyms.of_uid(self.uid)
        auth.create_user(uid=self.uid, email=self.email, app=platform.app)
        now = platform.clock()
        for path in ("", "/consents/terms", "/images/ring-0001", "/images/ring-0001/planted/x", "/planted/x/y/z"):
            fields = {"state": "active", "email": self.email, "createdAt": now}
            platform.db.document(f"users/{self.uid}{path}").set(fields)
        platform.db.document(f"enrolments/{platform.pseudonyms.of_email(self.email)}").set({"createdAt": now})
        for name in (f"images/{self.uid}/ring-0001", f"incoming/{self.uid}/ring-0002"):
            platform.bucket.blob(name).upload_from_file(io.BytesIO(b"bytes"), size=5)
        platform.vault.new_object(self.uid, "ring-0001")
        limits.Limits(platform.redis).count(self.uid, "open_image", 9, timedelta(minutes=9))

    def belongings(self) -> set[str]:
        """What there is of them, by a way of its own: neither the cascade's nor the verifier's."""
        db, vault, places = self.platform.db, self.platform.vault_db, set()
        theirs = re.compile(rf"\b{self.uid}\b")
        for database in (db, vault):
            stack = [*database.collections()]
            while stack:
                for document in stack.pop().list_documents():
                    stack += document.collections()
                    if document.get().exists and theirs.search(repr((document.path, document.get().to_dict()))):
                        places.add(f"{database._database}:{document.path}")
        places |= {blob.name for blob in self.platform.bucket.list_blobs() if f"/{self.uid}/" in blob.name}
        places |= {key for key in self.platform.redis.keys("*") if f"{{{self.uid}}}" in key}
        places |= {"auth" for user in auth.list_users(app=self.platform.app).iterate_all() if user.uid == self.uid}
        enrolment = db.document(f"enrolments/{self.platform.pseudonyms.of_email(self.email)}")
        return places | ({"enrolment"} if enrolment.get().exists else set())

    @property
    def job(self) -> firestore.DocumentReference:
        return self.platform.db.collection(erasing.JOBS).document(self.subject)

    def fields(self) -> dict[str, Any]:
        fields = self.job.get().to_dict()
        assert fields is not None
        return fields

    def work(self) -> None:
        """What a task does, in this process."""
        worker = jobs.Worker(self.platform.db, self.platform.clock, timedelta(seconds=1))
        worker.run(self.job, cascade.Cascade(self.platform, self.subject).page, BUDGET)

    def erase(self) -> dict[str, Any]:
        """From the request to the certificate, with the waiting skipped. Answers the job."""
        erasing.begin(self.platform, self.uid, self.platform.clock())
        for _ in range(40):
            if self.fields()["nextRunAt"] is None:
                break
            self.work()
            self.platform.clock.step(hours=2)  # type: ignore[attr-defined]
        return self.fields()


@pytest.fixture
def platform(platform: Platform[Any], clock: Any) -> Platform[Any]:
    """A month ahead, and over a bucket of its own: the deployed schedules find nothing of these tests' to do."""
    clock.step(days=30)
    platform.__dict__["bucket"] = platform.bucket.client.bucket(f"quiet-{secrets.token_hex(8)}")
    return platform


@pytest.fixture
def ada(platform: Platform[Any]) -> Somebody:
    return Somebody(platform)


def test_everything_of_a_person_goes_and_nothing_of_their_neighbours(platform: Platform[Any], ada: Somebody) -> None:
    # Names that a prefix without its slash, or a substring match, would take along.
    neighbours = [Somebody(platform, ada.uid + "x"), Somebody(platform, "x" + ada.uid)]
    before = [neighbour.belongings() for neighbour in neighbours]
    assert len(ada.belongings()) > 10
    job = ada.erase()
    assert job["state"] == "verified"
    assert ada.belongings() == set()
    assert [neighbour.belongings() for neighbour in neighbours] == before


def test_the_certificate_counts_what_was_confirmed_and_nothing_personal_stays(ada: Somebody) -> None:
    job = ada.erase()
    certificate = job["certificate"]
    deleted = {line["entry"]: line["deleted"] for line in certificate["stores"]}
    assert deleted == {
        "uploads": 1,
        "sealed-images": 1,
        "sealed-thumbnails": 0,
        "request-counters": 1,
        "enrolments": 1,
        "consents": 1,
        "image-records": 1,
        "profile": 1,
        "object-keys": 1,
        "user-key": 1,
        "rotations": 0,
        "account": 1,
        "erasure": 0,
        "tombstone": 0,
        "vault-tombstone": 0,
        "unmapped": 2,
    }
    assert certificate["policyVersion"] == policy.FIRST
    assert ada.uid not in repr(job)
    assert "uid" not in job


def test_n_deliveries_are_one(ada: Somebody) -> None:
    certificate = ada.erase()["certificate"]
    assert erasing.begin(ada.platform, ada.uid, ada.platform.clock()) is False
    for _ in range(3):
        ada.work()
    assert ada.fields()["certificate"] == certificate


def test_what_appears_after_the_cascade_reopens_it(ada: Somebody) -> None:
    erasing.begin(ada.platform, ada.uid, ada.platform.clock())
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


def test_what_comes_back_every_time_ends_stuck_and_visible(ada: Somebody, monkeypatch: pytest.MonkeyPatch) -> None:
    erasing.begin(ada.platform, ada.uid, ada.platform.clock())
    real = verifier.remaining

    def haunted(platform: Platform[Any], person: Any) -> Any:
        platform.bucket.blob(f"images/{ada.uid}/ghost-0001").upload_from_string(b"again")
        return real(platform, person)

    monkeypatch.setattr(verifier, "remaining", haunted)
    assert ada.erase()["state"] == "stuck"
    assert "certificate" not in ada.fields()


PLACES = [
    ("read account", auth, "get_user"),
    ("disable account", auth, "update_user"),
    ("transaction", _Transactional, "__call__"),
    ("delete object", Blob, "delete"),
    ("delete keys", Redis, "unlink"),
    ("delete documents", firestore.WriteBatch, "commit"),
    ("delete document", firestore.DocumentReference, "delete"),
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
    erasing.begin(ada.platform, ada.uid, ada.platform.clock())
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
    assert ada.belongings() == set()


def test_somebody_new_with_the_same_address_is_not_touched(ada: Somebody) -> None:
    erasing.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.work()
    ada.platform.clock.step(minutes=5)  # type: ignore[attr-defined]
    enrolment = ada.platform.db.document(f"enrolments/{ada.platform.pseudonyms.of_email(ada.email)}")
    enrolment.set({"createdAt": ada.platform.clock()})
    assert ada.erase()["state"] == "verified"
    assert enrolment.get().exists


def test_an_account_removed_in_the_console_is_erased_all_the_same(ada: Somebody) -> None:
    auth.delete_user(ada.uid, app=ada.platform.app)
    assert ada.erase()["state"] == "verified"
    assert ada.belongings() == set()


def test_a_dead_redis_delays_and_is_not_taken_for_an_empty_one(ada: Somebody) -> None:
    alive = ada.platform.redis
    ada.platform.__dict__["redis"] = limits.connect("redis://127.0.0.1:9/0")
    erasing.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.work()
    assert (ada.fields()["step"], ada.fields()["attempts"]) == ("redis", 1)
    ada.platform.__dict__["redis"] = alive
    assert ada.erase()["state"] == "verified"


def test_the_vault_has_a_tombstone_too(ada: Somebody) -> None:
    ada.erase()
    for db in (ada.platform.db, ada.platform.vault_db):
        assert tombstones.reference(db, ada.subject).get().exists
    with pytest.raises(tombstones.Erased):
        ada.platform.vault.new_object(ada.uid, "ring-0003")


def test_the_certificate_names_the_platforms_own_copies_and_when_they_end(
    platform: Platform[Any], ada: Somebody
) -> None:
    copies = {"soft_delete_days": 7, "backup_days": 98, "point_in_time_recovery_days": 7}
    platform.__dict__["settings"] = platform.settings.model_copy(update=copies)
    certificate = ada.erase()["certificate"]
    verified = datetime.fromisoformat(certificate["verifiedAt"])
    ends = {line["copy"]: datetime.fromisoformat(line["until"]) - verified for line in certificate["residual"]}
    assert {copy: end.days for copy, end in ends.items()} == {
        "soft-delete": 7,
        "point-in-time-recovery": 7,
        "backup": 98,
    }


@pytest.mark.parametrize("store", ["auth", "redis", "storage", "firestore", "vault", "enrolment"])
def test_the_verifier_sees_each_store_by_itself(ada: Somebody, store: str) -> None:
    person = Subject(ada.uid, ada.subject, ada.platform.pseudonyms.of_email(ada.email), ada.platform.clock())
    whole = set(verifier.remaining(ada.platform, person))
    names = {
        "auth": {"account"},
        "redis": {"request-counters"},
        "storage": {"sealed-images", "uploads"},
        "firestore": {"profile", "consents", "image-records"},
        "vault": {"user-key", "object-keys"},
        "enrolment": {"enrolments"},
    }[store]
    assert names <= whole
    ada.erase()
    assert verifier.remaining(ada.platform, person) == {}


def test_twenty_who_ask_and_work_at_once_are_one(ada: Somebody) -> None:
    def ask(_: int) -> bool:
        return erasing.begin(ada.platform, ada.uid, ada.platform.clock())

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(ask, range(20))) == 1
        began = time.monotonic()
        list(pool.map(lambda _: ada.work(), range(20)))
    assert ada.fields()["fence"] == 1
    assert time.monotonic() - began < 15, "workers must not wait for each other"
    assert ada.erase()["state"] == "verified"
