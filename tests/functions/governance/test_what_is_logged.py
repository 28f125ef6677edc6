"""Erasures in the log, and the receipt that is left of somebody who is gone."""

import json
from typing import Any

import pytest

import verify
from astra import jobs, tlog
from astra.runtime.callables import Call
from astra.runtime.platform import Platform
from astra.runtime.pseudonyms import Pseudonym
from erasure import request_handlers
from tests.functions.tlog.ledger import Ledger
from tests.support.people import Somebody


def entries(platform: Platform[Any], subject: Pseudonym) -> dict[str, dict[str, Any]]:
    """What was logged about somebody, by action."""
    rows = platform.db.collection(tlog.COMMITMENTS).get()
    found = [row.to_dict() or {} for row in rows if row.id.startswith(f"{subject}.")]
    assert all(tlog.is_opened_by(fields) for fields in found)
    actions = {fields["action"]: fields for fields in found}
    assert len(actions) == len(found), "each once"
    return actions


def receipt(ada: Somebody) -> dict[str, Any]:
    """What the callable answers to whoever holds the receipt of the deletion."""
    held = ada.platform.pseudonyms.receipt(ada.subject)
    return request_handlers.receipt(ada.platform, Call(request_handlers.ShowReceipt(receipt=held)))


@pytest.fixture
def ada(platform: Platform[Any]) -> Somebody:
    return Somebody(platform)


def test_a_receipt_verifies_after_the_account_is_gone(ada: Somebody, ledger: Ledger) -> None:
    ada.ask()
    assert set(entries(ada.platform, ada.subject)) == {"erasure:person:begin"}
    ada.finish()
    logged = entries(ada.platform, ada.subject)
    assert set(logged) == {"erasure:person:begin", "erasure:certificate:issue"}
    certificate = ada.fields()["certificate"]
    assert json.loads(logged["erasure:certificate:issue"]["record"]) == certificate
    assert set(receipt(ada)) == {"state", "certificate"}, "not in a checkpoint yet"
    ledger.sequence()
    answer = receipt(ada)
    found = verify.verify(answer["certificate"], answer["proof"], ledger.keys())
    assert found["action"] == "erasure:certificate:issue"
    with pytest.raises(verify.NotProved):
        verify.verify({**certificate, "keyDestroyed": False}, answer["proof"], ledger.keys())
    [line] = [line for line in certificate["stores"] if line["entry"] == "log-entries"]
    assert (line["found"], line["deleted"], line["retained"]) == (1, 0, 1)
    assert "GDPR" in line["basis"]
    assert not ledger.verify().problems
    everything = [blob.download_as_bytes() for blob in ledger.bucket.list_blobs(prefix="log/")]
    everything += [repr(fields).encode() for fields in logged.values()]
    assert not any(ada.uid.encode() in content or ada.email.encode() in content for content in everything)


def test_a_log_in_disorder_hides_no_certificate(ada: Somebody, ledger: Ledger) -> None:
    ada.ask()
    ada.finish()
    ledger.sequence()
    assert "proof" in receipt(ada)
    for damage in (b"nonsense", b"", b"a\n9\nAAAA\n\n"):
        ledger.put("checkpoint", damage)
        assert set(receipt(ada)) == {"state", "certificate"}


def test_an_erasure_that_cant_be_logged_does_not_begin_and_is_not_certified(
    ada: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(tlog, "append", fail)
        with pytest.raises(ConnectionError):
            ada.ask()
        assert not ada.job.get().exists
    ada.ask()
    monkeypatch.setattr(tlog, "append", fail)
    for _ in range(jobs.MAX_ATTEMPTS):
        ada.platform.clock.step(hours=2)  # type: ignore[attr-defined]
        ada.work()
    assert "certificate" not in ada.fields()
    assert ada.fields()["step"] == "verify"
