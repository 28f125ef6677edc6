"""A sweep that breaks off at any request, or gets no answer to it: the next one ends it, and all is counted once."""

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from firebase_admin import auth

from astra import tlog
from astra.accounts import activity
from tests.functions.erasure.boundaries import Boundaries, Mishap, crash, unreachable
from tests.functions.retention.stored import Stored

DAY = timedelta(days=1)
Check = Callable[[], None]


def events(stored: Stored, tag: str) -> Check:
    """Three people's rows, one of them held, and one that is not due."""
    end = stored.clock()
    rows = [stored.add("events", f"{tag}-{who}", until=end) for who in ("ada", "bob", "cy")]
    young = stored.add("events", f"{tag}-ada")
    stored.hold(f"{tag}-bob", "events")
    before = stored.counted(), stored.counted("held")

    def check() -> None:
        assert [row.get().exists for row in (*rows, young)] == [False, True, False, True]
        assert "expiredAt" in (rows[1].get().to_dict() or {})
        assert (stored.counted() - before[0], stored.counted("held") - before[1]) == ({"events": 2}, {"events": 1})

    return check


def image(stored: Stored, tag: str) -> Check:
    """An image in all its parts."""
    stored.image(tag, "ring-0001", stored.clock())
    before = stored.counted()

    def check() -> None:
        assert stored.parts(tag, "ring-0001") == []
        assert stored.counted() - before == {"image-records": 1}

    return check


def upload(stored: Stored, tag: str) -> Check:
    """Plaintext that nobody took up: what the log says may lack what a crash came after."""
    blob = stored.platform.bucket.blob(f"incoming/{tag}/upload-0001")
    blob.upload_from_string(b"plain")
    stored.clock.step(days=3)
    before = stored.counted()

    def check() -> None:
        assert not blob.exists()
        assert (stored.counted() - before).total() <= 1

    return check


def somebody(stored: Stored, uid: str, warnings: int) -> Any:
    """Somebody of whom a step is due."""
    auth.create_user(uid=uid, email=f"{uid}@example.com", app=stored.platform.app)
    stored.clock.step(days=800)
    now = stored.clock()
    noted = {**activity.seen(stored.platform.settings, now - 730 * DAY), "warnings": warnings, "dueAt": now}
    profile = stored.db.document("users", uid)
    profile.set({"state": "active", "email": f"{uid}@example.com", "createdAt": now - 730 * DAY, "inactivity": noted})
    return profile


def warning(stored: Stored, tag: str) -> Check:
    """A first warning."""
    profile = somebody(stored, tag, 0)

    def check() -> None:
        assert profile.get().get("inactivity")["warnings"] == 1
        assert len(profile.collection("notices").get()) == 1
        assert len(profile.collection("deliveries").get()) == 1
        assert said(stored, tag) == ["retention:inactivity:warn"]

    return check


def erasing(stored: Stored, tag: str) -> Check:
    """The end."""
    profile = somebody(stored, tag, 2)

    def check() -> None:
        assert profile.get().get("state") == "erasing"
        assert said(stored, tag) == ["erasure:person:begin"]

    return check


def said(stored: Stored, uid: str) -> list[str]:
    """What the log says of somebody."""
    subject = stored.platform.pseudonyms.of_uid(uid)
    rows = stored.db.collection(tlog.COMMITMENTS).get()
    return sorted(row.get("action") for row in rows if row.id.startswith(f"{subject}."))


@pytest.fixture(scope="module")
def boundaries() -> Iterator[Boundaries]:
    with pytest.MonkeyPatch.context() as patch:
        yield Boundaries(patch)


SCENES = {
    "sweep-events": events,
    "sweep-image-records": image,
    "sweep-uploads": upload,
    "sweep-inactive-warn": warning,
    "sweep-inactive-erase": erasing,
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("strike", [crash, unreachable])
@pytest.mark.parametrize("scene", SCENES)
def test_at_every_request(stored: Stored, boundaries: Boundaries, scene: str, strike: Any) -> None:
    job = "-".join(scene.split("-")[:2]) if "inactive" in scene else scene
    check = SCENES[scene](stored, secrets.token_hex(6))
    with boundaries.armed(None):
        stored.run(job)
        requests = boundaries.calls
    check()
    assert requests > 5
    for at in range(1, requests + 1):
        for after in (False, True):
            check = SCENES[scene](stored, secrets.token_hex(6))
            with boundaries.armed(Mishap(at=at, after=after, strike=strike)):
                stored.run(job)
            for _ in range(2):
                stored.clock.step(minutes=6)
                stored.run(job)
            check()
