"""Who reaches what in Storage, asked of the real rules engine. What may not be uploaded is in the journeys."""

import secrets
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from astra.platform import Platform
from local.client import Client, Person
from local.stack import Stack
from local.story import PHOTOGRAPH

PHOTO = PHOTOGRAPH.read_bytes()


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Person:
    with Client(stack) as client:
        return client.join()


@pytest.fixture(scope="module")
def bob(stack: Stack) -> Person:
    with Client(stack) as client:
        return client.join()


def reach(stack: Stack, method: str, name: str, token: str | None, **params: str) -> int:
    url = f"{stack.storage_url}/v0/b/{stack.bucket}/o/{quote(name, safe='')}"
    headers = {"Authorization": f"Firebase {token}"} if token else {}
    body = {"contentType": "text/html"} if method == "PATCH" else None
    return httpx.request(method, url, headers=headers, params=params, json=body, timeout=30).status_code


@pytest.mark.parametrize("who", ["owner", "other", "anonymous"])
@pytest.mark.parametrize("folder", ["images", "incoming", "log"])
@pytest.mark.parametrize(
    ("method", "params"),
    [("GET", {}), ("GET", {"alt": "media"}), ("PATCH", {}), ("DELETE", {})],
    ids=["metadata", "bytes", "update", "delete"],
)
def test_nobody_reads_changes_or_deletes_an_object(
    stack: Stack,
    platform: Platform[Any],
    ada: Person,
    bob: Person,
    who: str,
    folder: str,
    method: str,
    params: dict[str, str],
) -> None:
    # Not a name that sealing takes: the object has to stay for the question.
    name = f"{folder}/{ada.uid}/stays-0001" if folder == "images" else f"{folder}/{ada.uid}"
    blob = platform.bucket.blob(name)
    blob.upload_from_string(b"bytes")
    token = {"owner": ada.token, "other": bob.token, "anonymous": None}[who]
    assert reach(stack, method, name, token, **params) == 403


@pytest.mark.parametrize("prefix", ["", "incoming/", "incoming/{uid}/", "images/{uid}/", "log/"])
def test_nobody_lists(stack: Stack, ada: Person, prefix: str) -> None:
    answer = httpx.get(
        f"{stack.storage_url}/v0/b/{stack.bucket}/o",
        params={"prefix": prefix.format(uid=ada.uid), "delimiter": "/"},
        headers={"Authorization": f"Firebase {ada.token}"},
        timeout=30,
    )
    assert answer.status_code == 403


def test_the_owner_may_upload_and_others_may_not(client: Client, ada: Person, bob: Person) -> None:
    name = f"incoming/{ada.uid}/{secrets.token_urlsafe(12)}"
    assert client.put_object(name, PHOTO, "image/jpeg", bob.token).status_code == 403
    assert client.put_object(name, PHOTO, "image/jpeg", ada.token).status_code == 200


@pytest.mark.parametrize("state", ["erasing", "disabled"])
def test_an_account_that_is_not_active_uploads_nothing(
    client: Client, platform: Platform[Any], bob: Person, state: str
) -> None:
    profile = platform.db.document(f"users/{bob.uid}")
    profile.update({"state": state})
    name = f"incoming/{bob.uid}/{secrets.token_urlsafe(12)}"
    assert client.put_object(name, PHOTO, "image/jpeg", bob.token).status_code == 403
    profile.update({"state": "active"})
    assert client.put_object(name, PHOTO, "image/jpeg", bob.token).status_code == 200
