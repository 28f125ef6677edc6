"""A store that is down delays an erasure and does no more: no wrong report, no rush at what is down, no lost count."""

import itertools
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from google.api_core.exceptions import Aborted
from google.cloud import firestore
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from astra.runtime import rate_limits
from astra.runtime.platform import Platform
from erasure import replicate
from local.stack.stack import Stack
from local.stand_ins.http_server import Fault
from tests.support.people import Somebody, generate, settle

ROUNDS = 5


@pytest.fixture
def ada(platform: Platform[Any]) -> Somebody:
    settle(platform, f"demo-{secrets.token_hex(6)}")
    return Somebody(platform)


def outlast(ada: Somebody, stack: Stack, step: str) -> None:
    """Let the erasure run against a store that is down, each time when it is due and not before."""
    delays: list[timedelta] = []
    for attempts in range(1, ROUNDS + 1):
        ada.work()
        job, now = ada.fields(), ada.platform.clock()
        assert (job["state"], job["step"], job["attempts"]) == ("running", step, attempts)
        assert "certificate" not in job
        delays.append(job["nextRunAt"] - now)
        ada.work()
        assert ada.fields() == job, "it worked before it was due"
        ada.platform.clock.now = job["nextRunAt"]  # type: ignore[attr-defined]
    assert delays == [ada.platform.settings.retry_delay * 2**failure for failure in range(ROUNDS)]
    assert ada.traces(stack)


def deleted(certificate: dict[str, Any], entry: str) -> int:
    [line] = [line for line in certificate["stores"] if line["entry"] == entry]
    count: int = line["deleted"]
    return count


def assert_erased(ada: Somebody, stack: Stack) -> dict[str, Any]:
    """Answers the certificate."""
    job = ada.finish()
    assert job["state"] == "verified"
    assert ada.traces(stack) == []
    certificate: dict[str, Any] = job["certificate"]
    return certificate


def test_redis_is_down(stack: Stack, ada: Somebody) -> None:
    alive = ada.platform.redis
    ada.platform.__dict__["redis"] = rate_limits.connect("redis://127.0.0.1:9/0")
    ada.ask()
    outlast(ada, stack, "redis")
    ada.platform.__dict__["redis"] = alive
    assert deleted(assert_erased(ada, stack), "short-lived-keys") == 1


def test_redis_is_down_when_the_verifier_looks(stack: Stack, ada: Somebody) -> None:
    ada.ask()
    ada.work()
    assert ada.fields()["step"] == "verify"
    # What came back meanwhile, where it can't be seen.
    ada.platform.limits.count(ada.uid, "late", 9, timedelta(hours=9))
    ada.platform.clock.now = ada.fields()["nextRunAt"]  # type: ignore[attr-defined]
    alive = ada.platform.redis
    ada.platform.__dict__["redis"] = rate_limits.connect("redis://127.0.0.1:9/0")
    outlast(ada, stack, "verify")
    ada.platform.__dict__["redis"] = alive
    assert deleted(assert_erased(ada, stack), "short-lived-keys") == 2


@pytest.mark.parametrize("verb", ["cancel", "file"])
@pytest.mark.parametrize(
    "fault",
    [{"status": 429, "retry_after": 1}, {"status": 500}, {"status": 500, "hang": 0.6}],
    ids=["throttled", "broken", "silent"],
)
def test_replicate_is_down(
    stack: Stack, ada: Somebody, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], verb: str
) -> None:
    monkeypatch.setattr(replicate, "_TIMEOUT_SECONDS", 0.2)
    prediction, file = generate(ada.platform, ada.uid)
    path = {"cancel": f"/v1/predictions/{prediction}/cancel", "file": f"/v1/files/{file}"}[verb]
    down = Fault(path, **fault, times=ROUNDS)
    stack.replicate.faults.append(down)
    ada.ask()
    outlast(ada, stack, "replicate")
    asked = sum(count for call, count in stack.replicate.calls.items() if call.endswith(path))
    assert asked == ROUNDS, "one request for each failure, and none between"
    assert down not in stack.replicate.faults
    assert deleted(assert_erased(ada, stack), "replicate-artefacts") == 1


def test_what_replicate_deleted_without_saying_so_is_not_counted(
    stack: Stack, ada: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicate, "_TIMEOUT_SECONDS", 0.2)
    _, file = generate(ada.platform, ada.uid)
    stack.replicate.faults.append(Fault(f"/v1/files/{file}", hang=0.6))
    ada.ask()
    ada.work()
    assert (ada.fields()["step"], ada.fields()["attempts"]) == ("replicate", 1)
    assert deleted(assert_erased(ada, stack), "replicate-artefacts") == 0


def test_what_replicate_lets_nobody_delete_is_in_the_certificate_until_it_has_gone(stack: Stack, ada: Somebody) -> None:
    asked: datetime = ada.platform.clock()
    prediction, _ = generate(ada.platform, ada.uid, f"a ring for {ada.uid}")
    ada.ask()
    certificate = ada.finish()["certificate"]
    assert deleted(certificate, "replicate-artefacts") == 1
    assert stack.replicate.calls[f"POST /v1/predictions/{prediction}/cancel"] == 1
    left = {(finding.store, finding.place) for finding in ada.traces(stack)}
    assert left == {("replicate", f"predictions/{prediction}")}
    [residual] = certificate["residual"]
    assert residual["copy"] == "replicate"
    until = datetime.fromisoformat(residual["until"])
    # Half an hour is the longest run, an hour after its end Replicate drops what it has.
    assert until - asked.replace(microsecond=0) == timedelta(minutes=90)
    stack.replicate.expire(until - asked)
    assert ada.traces(stack) == []


class Unavailable(HTTPAdapter):
    """A connection to Storage that answers 503 to requests of a method, `left` times."""

    def __init__(self) -> None:
        super().__init__()
        self.method, self.left, self.refused = "", 0, 0

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if request.method != self.method or self.refused >= self.left:
            return super().send(request, *args, **kwargs)
        self.refused += 1
        refusal = requests.Response()
        refusal.status_code, refusal.request, refusal._content = 503, request, b""
        return refusal


@pytest.fixture
def storage(ada: Somebody) -> Unavailable:
    adapter = Unavailable()
    ada.platform.bucket.client._http.mount("http://", adapter)
    return adapter


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_storage_stumbles(stack: Stack, ada: Somebody, storage: Unavailable, method: str) -> None:
    storage.method, storage.left = method, 1
    ada.ask()
    ada.work()
    # The client's own retries are enough.
    assert (ada.fields()["step"], ada.fields()["attempts"], storage.refused) == ("verify", 0, 1)
    assert deleted(assert_erased(ada, stack), "sealed-images") == 2


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_storage_is_down(
    stack: Stack, ada: Somebody, storage: Unavailable, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    # Else the client would try for two minutes before the job hears of it.
    monkeypatch.setattr(DEFAULT_RETRY, "_timeout", 0.0)
    storage.method, storage.left = method, 10**6
    ada.ask()
    outlast(ada, stack, "storage")
    # A failure is up to three listings, of a folder each, or up to two deletes: they are under way side by side. The
    # first may be met twice: at the end of a page that had found nothing to delete, and by the page that begins there.
    assert ROUNDS <= storage.refused <= (ROUNDS + 1) * {"GET": 3, "DELETE": 2}[method]
    storage.left = 0
    assert deleted(assert_erased(ada, stack), "sealed-images") == 2


@pytest.fixture
def aborted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Aborts each transaction of this thread once, at its commit: in the emulator, the cascade wins nearly always."""
    commit, thread, aborted = FirestoreClient.commit, threading.get_ident(), list[bytes]()
    again = itertools.cycle([False, True])

    def at_first_abort(client: FirestoreClient, **call: Any) -> Any:
        transaction = call["request"]["transaction"]
        if threading.get_ident() == thread and transaction and not next(again):
            aborted.append(transaction)
            raise Aborted("asked for")
        return commit(client, **call)

    monkeypatch.setattr(FirestoreClient, "commit", at_first_abort)
    return aborted


def test_firestore_is_contended(stack: Stack, ada: Somebody, aborted: list[bytes]) -> None:
    db = ada.platform.db
    contended = [db.document(f"users/{ada.uid}"), db.document(f"users/{ada.uid}/images/ring-0001")]
    begun = threading.Barrier(1 + len(contended))

    @firestore.transactional
    def touch(transaction: firestore.Transaction, document: firestore.DocumentReference) -> bool:
        # It changes what is there and brings nothing back.
        exists = document.get(transaction=transaction).exists
        if exists:
            transaction.update(document, {"touched": firestore.Increment(1)})
        return bool(exists)

    def keep_touching(document: firestore.DocumentReference) -> int:
        """Until it has gone. Answers how often."""
        assert touch(db.transaction(), document)
        begun.wait(30)
        return 1 + sum(1 for _ in iter(lambda: touch(db.transaction(max_attempts=100), document), False))

    with ThreadPoolExecutor(len(contended)) as pool:
        touching = [pool.submit(keep_touching, document) for document in contended]
        begun.wait(30)
        ada.ask()
        ada.work()
        assert (ada.fields()["step"], ada.fields()["attempts"]) == ("verify", 0), "contention is no failure"
        certificate = assert_erased(ada, stack)
        assert len(aborted) > 1
        assert all(toucher.result(60) > 1 for toucher in touching), "nobody met the cascade: mend this test"
    assert {name: deleted(certificate, name) for name in ("profile", "image-records", "consents")} == {
        "profile": 1,
        "image-records": 1,
        "consents": 1,
    }
