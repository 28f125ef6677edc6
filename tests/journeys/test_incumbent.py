"""What the extension `delete-user-data` gets wrong: a test for each of its known failures, named for it.

Source: https://github.com/firebase/extensions/tree/master/delete-user-data
"""

import base64
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from firebase_admin import auth
from google.api_core.gapic_v1.method import _GapicCallable

from astra.accounts import tombstones
from astra.runtime.platform import Platform
from erasure import orphans
from local.client import CallError, Client, Person
from local.http_stand_in import Fault
from local.life import PHOTOGRAPH, needles, wait_sealed
from local.scan import scan
from local.stack import Stack
from local.telling import wait_for
from tests.people import Somebody, generate, settle

CROWD = 2000


@pytest.fixture
def ada(client: Client) -> Person:
    return client.join()


def ask(client: Client, ada: Person) -> str:
    """Answers the receipt."""
    receipt: str = client.call("delete_account", {"confirm": True}, ada.token)["receipt"]
    return receipt


def wait_verified(client: Client, receipt: str) -> dict[str, Any]:
    """Answers the certificate."""
    return wait_for("the certificate", lambda: client.call("receipt", {"receipt": receipt}).get("certificate"))


def test_reports_success_after_an_error(stack: Stack, client: Client, platform: Platform[Any], ada: Person) -> None:
    _, file = generate(platform, ada.uid)
    down = Fault(f"/v1/files/{file}", status=500, times=10**6)
    stack.replicate.faults.append(down)
    receipt = ask(client, ada)
    wait_for("a second failure", lambda: stack.replicate.calls[f"DELETE /v1/files/{file}"] > 1 or None)
    assert client.call("receipt", {"receipt": receipt}) == {"state": "running"}
    assert scan(stack, needles(ada))
    stack.replicate.faults.remove(down)
    wait_verified(client, receipt)
    assert scan(stack, needles(ada)) == []


def test_does_not_retry(stack: Stack, client: Client, platform: Platform[Any], ada: Person) -> None:
    _, file = generate(platform, ada.uid)
    stack.replicate.faults.append(Fault(f"/v1/files/{file}", status=503))
    wait_verified(client, ask(client, ada))
    assert stack.replicate.calls[f"DELETE /v1/files/{file}"] == 2
    assert scan(stack, needles(ada)) == []


def test_takes_along_whoever_shares_a_prefix(
    stack: Stack, client: Client, platform: Platform[Any], ada: Person
) -> None:
    wait_sealed(client, ada, client.upload(ada, PHOTOGRAPH.read_bytes()))
    neighbour = Somebody(platform, ada.uid + "d")
    before = neighbour.belongings(stack)
    wait_verified(client, ask(client, ada))
    assert before
    assert neighbour.belongings(stack) == before


def test_takes_along_whoever_has_the_uid_within_theirs(
    stack: Stack, client: Client, platform: Platform[Any], ada: Person
) -> None:
    neighbours = [Somebody(platform, "x" + ada.uid), Somebody(platform, f"x{ada.uid}x")]
    before = [neighbour.belongings(stack) for neighbour in neighbours]
    wait_verified(client, ask(client, ada))
    assert all(before)
    assert [neighbour.belongings(stack) for neighbour in neighbours] == before


def test_leaves_what_is_nested(stack: Stack, client: Client, platform: Platform[Any], ada: Person) -> None:
    words = secrets.token_hex(10)
    nested = {"drawn": [{"for": {"whom": ada.uid, "words": words}}]}
    # Below documents that do not exist, and with the uid in no field at the top.
    platform.db.document(f"users/{ada.uid}/planted/a/b/c/d/e/f/g").set(nested)
    assert scan(stack, {"words": words.encode()})
    wait_verified(client, ask(client, ada))
    assert scan(stack, {"words": words.encode()}) == []


def test_leaves_subcollections(stack: Stack, client: Client, platform: Platform[Any], ada: Person) -> None:
    words, batch = secrets.token_hex(10), platform.db.batch()
    # More than a page of them, under a name that nobody was told of.
    for number in range(450):
        batch.set(platform.db.document(f"users/{ada.uid}/planted/{number:03}"), {"words": words})
    batch.commit()
    certificate = wait_verified(client, ask(client, ada))
    [unmapped] = [line for line in certificate["stores"] if line["entry"] == "unmapped-firestore"]
    assert unmapped["deleted"] == 450
    assert scan(stack, {"words": words.encode()}) == []


def test_leaves_other_databases(stack: Stack, client: Client, platform: Platform[Any], ada: Person) -> None:
    wait_sealed(client, ada, client.upload(ada, PHOTOGRAPH.read_bytes()))
    platform.vault_db.document(f"keys/{ada.uid}/planted/x").set({"of": ada.uid})

    def in_the_vault() -> list[str]:
        return [finding.place for finding in scan(stack, needles(ada)) if finding.store == "firestore vault"]

    assert len(in_the_vault()) >= 3
    wait_verified(client, ask(client, ada))
    assert in_the_vault() == []
    assert tombstones.reference(platform.vault_db, platform.pseudonyms.of_uid(ada.uid)).get().exists


def test_gives_no_proof(client: Client, ada: Person) -> None:
    receipt = ask(client, ada)
    certificate = wait_verified(client, receipt)
    with pytest.raises(CallError):
        client.sign_in(ada.email, ada.password)
    # The account is gone, and the receipt still opens the proof, which anybody can check.
    assert client.call("receipt", {"receipt": receipt}) == {"state": "verified", "certificate": certificate}
    signature = certificate.pop("signature")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature["publicKey"]))
    key.verify(base64.b64decode(signature["value"]), rfc8785.dumps(certificate))
    certificate["stores"][0]["remaining"] = 7
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature["value"]), rfc8785.dumps(certificate))


def test_does_not_see_accounts_deleted_in_bulk(stack: Stack, platform: Platform[Any]) -> None:
    settle(platform, f"demo-{secrets.token_hex(6)}")
    gone, stayed = [Somebody(platform), Somebody(platform)], Somebody(platform)
    before = stayed.belongings(stack)
    assert auth.delete_users([person.uid for person in gone], app=platform.app).success_count == 2
    change = {"orphans_share": 1}  # of three people
    platform.__dict__["settings"] = platform.settings.model_copy(update=change)
    for days in (2, 2, 10):  # noted, frozen, erased
        platform.clock.step(days=days)  # type: ignore[attr-defined]
        orphans.call_the_roll(platform, timedelta(minutes=1))
    for person in gone:
        assert person.finish()["state"] == "verified"
        assert person.traces(stack) == []
    assert not stayed.job.get().exists
    assert stayed.belongings(stack) == before


def count_reads(somebody: Somebody, monkeypatch: pytest.MonkeyPatch) -> int:
    """Requests to Firestore and documents in its answers, during an erasure."""
    call, reads = _GapicCallable.__call__, 0

    class Counted:
        """A stream of answers that counts them."""

        def __init__(self, answers: Any) -> None:
            self._answers = answers

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            nonlocal reads
            answer = next(self._answers)
            reads += 1
            return answer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._answers, name)

    def counting(self: _GapicCallable, *args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        answer = call(self, *args, **kwargs)
        reads += 1 + len(getattr(answer, "documents", ()))
        return Counted(answer) if hasattr(answer, "__next__") else answer

    with monkeypatch.context() as patch:
        patch.setattr(_GapicCallable, "__call__", counting)
        somebody.ask()
        assert somebody.finish()["state"] == "verified"
    return reads


def test_reads_everybody_for_each_who_goes(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    settle(platform, f"demo-{secrets.token_hex(6)}")
    alone = count_reads(Somebody(platform), monkeypatch)
    for first in range(0, CROWD, 500):
        batch = platform.db.batch()
        for number in range(first, first + 500):
            for path in ("", "/images/ring-0001"):
                batch.set(platform.db.document(f"users/crowd-{number}{path}"), {"state": "active"})
        batch.commit()
    assert count_reads(Somebody(platform), monkeypatch) == alone
