"""What may be uploaded, and what may not however it is sent."""

import secrets
from typing import Any

import pytest

from astra.runtime.platform import Platform
from local.client import Client
from local.life import PHOTOGRAPH, wait_sealed
from local.stack import Stack
from tests.rules.cast import OWNERS, Cast
from tests.rules.objects import Objects
from tests.rules.uploads import HOSTILE, MOST, Hostile


@pytest.mark.parametrize("upload", HOSTILE, ids=lambda upload: upload.why)
def test_a_hostile_upload_is_refused(objects: Objects, upload: Hostile) -> None:
    assert not upload.tried(objects)


@pytest.mark.parametrize("who", OWNERS)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "heic", "heif"])
def test_an_owner_may_upload_an_image_of_any_kind(objects: Objects, who: str, kind: str) -> None:
    assert Hostile("", content_type=f"image/{kind}").tried(objects, objects.cast.callers[who])


@pytest.mark.parametrize("upload_id", ["a-_Z0189", "a" * 64])
def test_an_id_may_be_as_short_and_as_long_as_it_says(objects: Objects, upload_id: str) -> None:
    assert Hostile("", "incoming/{uid}/" + upload_id).tried(objects, objects.cast.callers["unverified"])


def test_an_image_may_be_as_large_as_it_says(objects: Objects) -> None:
    assert Hostile("", size=MOST).tried(objects)


@pytest.mark.parametrize(
    ("who", "kind", "status"),
    [
        ("owner", "image/png", 200),
        ("owner", "text/html", 403),
        ("anonymous", "image/png", 403),
        ("other", "image/png", 403),
    ],
)
def test_an_upload_in_parts_is_judged_when_it_is_whole(objects: Objects, who: str, kind: str, status: int) -> None:
    caller = objects.cast.callers[who]
    name = f"incoming/{caller.whose}/{secrets.token_urlsafe(12)}"
    assert objects.put_in_parts(name, [b"x" * 10_000, b"x"], kind, caller.token).status_code == status


@pytest.mark.parametrize("state", ["disabled", "Active", ""])
def test_an_account_in_any_state_but_active_uploads_nothing(
    objects: Objects, platform: Platform[Any], state: str
) -> None:
    profile = platform.db.document(f"users/{objects.cast.expired.whose}")
    profile.update({"state": state})
    assert not Hostile("").tried(objects, objects.cast.expired)
    profile.update({"state": "active"})
    assert Hostile("").tried(objects, objects.cast.expired)


def test_a_token_for_downloads_that_came_with_an_upload_opens_nothing_that_is_sealed(
    stack: Stack, client: Client, cast: Cast
) -> None:
    """The real service refuses such metadata itself (400). The emulator takes it out before the rules see it."""
    ada, upload_id, forged = client.join(), secrets.token_urlsafe(12), secrets.token_hex(16)
    metadata = {"metadata": {"firebaseStorageDownloadTokens": forged}}
    objects = Objects(stack, cast, stack.bucket)
    photograph = PHOTOGRAPH.read_bytes()
    answer = objects.put(f"incoming/{ada.uid}/{upload_id}", photograph, "image/jpeg", ada.token, metadata)
    assert answer.status_code == 200, answer.text
    wait_sealed(client, ada, upload_id)
    for folder in ("images", "thumbs"):
        assert objects.download(f"{folder}/{ada.uid}/{upload_id}", forged).status_code == 403
    objects.close()
