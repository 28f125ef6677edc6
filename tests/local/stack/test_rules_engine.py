"""The Storage emulator judges by the real storage.rules, the documents they ask Firestore for included."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from local.stack.stack import Stack

OWNER = {"Authorization": "Bearer owner"}


def put_document(servers: Stack, path: str, fields: dict[str, object]) -> None:
    database = f"{servers.firestore_url}/v1/projects/{servers.project}/databases/(default)/documents"
    httpx.patch(f"{database}/{path}", json={"fields": fields}, headers=OWNER).raise_for_status()


def upload(servers: Stack, uid: str, name: str, kind: str = "image/png", signed_in_as: str | None = None) -> int:
    """Upload as a client does; returns the HTTP status. The emulator reads ID tokens without checking a signature."""
    claims = {"sub": signed_in_as or uid, "user_id": signed_in_as or uid}
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims))
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
    return httpx.post(
        f"{servers.storage_url}/v0/b/{servers.bucket}/o",
        params={"name": f"incoming/{uid}/{name}"},
        content=b"picture",
        headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
        timeout=30,
    ).status_code


# A value of each of Firestore's kinds: the engine must be able to read any profile.
PROFILE: dict[str, object] = {
    "array": {"arrayValue": {"values": [{"integerValue": "1"}, {"mapValue": {}}]}},
    "bool": {"booleanValue": True},
    "bytes": {"bytesValue": "AAE="},
    "double": {"doubleValue": 1.5},
    "map": {"mapValue": {"fields": {"empty": {"arrayValue": {}}}}},
    "null": {"nullValue": None},
    "place": {"geoPointValue": {"latitude": 1.0, "longitude": 2.0}},
    "reference": {"referenceValue": "projects/demo-astra/databases/(default)/documents/users/other"},
    "time": {"timestampValue": "2026-01-02T03:04:05Z"},
}


def test_an_active_user_may_upload(servers: Stack) -> None:
    put_document(servers, "users/active", {**PROFILE, "state": {"stringValue": "active"}})
    assert upload(servers, "active", "picture-1") == 200
    assert upload(servers, "active", "picture-2", signed_in_as="somebody-else") == 403
    assert upload(servers, "active", "picture-3", kind="text/html") == 403
    assert upload(servers, "active", "short") == 403


@pytest.mark.parametrize("state", ["erasing", "suspended"])
def test_another_state_may_not(servers: Stack, state: str) -> None:
    put_document(servers, f"users/{state}", {"state": {"stringValue": state}})
    assert upload(servers, state, "picture-1") == 403


def test_a_user_without_a_profile_may_not(servers: Stack) -> None:
    assert upload(servers, "nobody", "picture-1") == 403


def test_an_upload_that_is_already_an_image_may_not_come_again(servers: Stack) -> None:
    put_document(servers, "users/again", {"state": {"stringValue": "active"}})
    put_document(servers, "users/again/images/picture-1", {"status": {"stringValue": "ready"}})
    assert upload(servers, "again", "picture-1") == 403
    assert upload(servers, "again", "picture-2") == 200
