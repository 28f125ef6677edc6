"""Honey is touched by nothing of ours: whatever goes through everybody is watched on its way to the stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from firebase_admin import auth

from astra.accounts import honeytokens
from astra.runtime.platform import Platform
from astra.vault import vault_of
from astra.vault.cobblestone import Unopenable
from cli import honeytokens as honeytokens_command
from erasure import orphans
from governance import transfers
from local.life import PHOTOGRAPH
from retention.inactivity import Inactive
from tests.functions.breach.crowd import Crowd


class Ear(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Hears what is asked of Firestore by name."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.asked.append(repr(request))
        return continuation(details, request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.asked.append(repr(request))
        return continuation(details, request)


@contextmanager
def listening() -> Iterator[list[str]]:
    """What clients that are made within ask for."""
    ear, connect = Ear(), grpc.insecure_channel
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grpc, "insecure_channel", lambda *at, **more: grpc.intercept_channel(connect(*at, **more), ear))
        yield ear.asked


@pytest.fixture
def bait(platform: Platform[Any]) -> str:
    return honeytokens_command.plant(platform, "Mary Shelley", "mary.shelley@example.com", PHOTOGRAPH.read_bytes())


def test_a_planted_account_is_like_anybodys(platform: Platform[Any], bait: str) -> None:
    assert honeytokens.is_honey(platform.pseudonyms, bait)
    profile = platform.db.document(f"users/{bait}").get().to_dict() or {}
    assert set(profile) == {
        "name",
        "email",
        "createdAt",
        "policyVersion",
        "ipLock",
        "jurisdiction",
        "state",
        "inactivity",
    }
    assert auth.get_user(bait, app=platform.app).email == profile["email"]
    assert len(list(platform.bucket.list_blobs(prefix=f"incoming/{bait}/"))) == 1
    stored = [repr(one.to_dict()) for one in platform.db.collection_group("consents").get()]
    assert not any("honey" in text for text in [*stored, repr(profile)])


def test_the_roll_call_the_sweep_campaigns_and_transfers_leave_it_out(
    platform: Platform[Any], bait: str, crowd: Crowd
) -> None:
    crowd.come(3)
    for uid in crowd.uids:
        auth.create_user(uid=uid, email=f"{uid}@example.com", app=platform.app)
    auth.delete_user(bait, app=platform.app)  # the roll call would erase anybody else
    platform.clock.now += timedelta(days=3)  # type: ignore[attr-defined]
    platform.db.document(f"users/{bait}").update({"inactivity.dueAt": platform.clock() - timedelta(days=1)})
    told = {"createdAt": platform.clock()}
    for uid in crowd.uids:
        platform.db.document(f"users/{uid}/notices/{transfers.campaign('t1')}").set(told)
    platform.db.document(f"campaigns/{transfers.campaign('t1')}").set({"completedAt": platform.clock()})
    planned = {"recipient": "Acme", "state": "opened", "plannedAt": platform.clock(), "waitingDays": 0}
    transfers.reference(platform.db, "t1").set(planned)
    crowd.platform = ours = Platform(type(platform.settings), platform.clock)
    ours.__dict__.update(app=platform.app, settings=platform.settings)
    crowd.db = ours.db
    with listening() as asked:
        for name in ("db", "vault_db"):
            ours.__dict__.pop(name, None)
        crowd.db = ours.db
        for _ in range(30):
            platform.clock.now += timedelta(days=1)  # type: ignore[attr-defined]
            orphans.call_the_roll(ours, timedelta(minutes=1))
        Inactive(ours, ours.clock).page({"cursor": None, "counts": {}})
        crowd.announce(canary=False)
        crowd.work()
        passed = [uid for page in transfers.gate(ours, "t1") for uid in page]
    assert passed == crowd.uids
    assert len(asked) > 20
    assert [one for one in asked if bait in one] == []
    assert crowd.told() == sorted(2 * crowd.uids), "of the transfer, and of the campaign"
    campaign = crowd.campaign()
    assert (campaign["count"], campaign["counts"]) == (3, {"told": 3, "gone": 0}), "it is not taken for one who left"
    assert platform.db.document(f"users/{bait}").get().exists


def test_our_own_functions_say_when_it_is_reached_for(
    platform: Platform[Any], bait: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unopenable):
        vault_of(platform).find_object(bait, "ring-0001")
    assert '"event": "honey.touched"' in capsys.readouterr().out
    with pytest.raises(Unopenable):
        vault_of(platform).find_object("somebody-else", "ring-0001")
    assert "honey" not in capsys.readouterr().out
