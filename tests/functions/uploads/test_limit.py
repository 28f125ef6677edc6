import secrets
from typing import Any

import pytest
from firebase_admin import app_check
from flask import Flask

from astra.runtime.platform import Platform
from uploads import serve


def test_who_opens_too_many_images_is_told_when_to_come_back(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = secrets.token_hex(14)
    platform.db.document(f"users/{uid}").set({"state": "active"})
    record = {
        "status": "ready",
        "contentType": "image/jpeg",
        "bytes": 5,
        "thumbBytes": 5,
        "createdAt": platform.clock(),
    }
    platform.db.document(f"users/{uid}/images/ring-0001").set(record)
    monkeypatch.setattr(serve, "_MAX_USER_REQUESTS", 2)
    monkeypatch.setattr(serve, "_caller", lambda *_: uid)  # tokens have tests of their own
    with Flask("test").test_request_context("/?id=ring-0001", method="HEAD") as context:
        answers = [serve.open_image(platform, context.request) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert answers[2].get_json()["error"]["status"] == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("token", [None, "", "not a token", "e30.e30.e30"])
def test_outside_the_emulators_only_our_own_apps_are_answered(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    monkeypatch.setattr(serve, "emulated", lambda: False)
    headers = {"Authorization": "Bearer anything"} | ({} if token is None else {"X-Firebase-AppCheck": token})
    with Flask("test").test_request_context("/?id=ring-0001", headers=headers) as context:
        answer = serve.open_image(platform, context.request)
    assert answer.status_code == 401
    assert "App Check" in answer.get_json()["error"]["message"]


def test_a_verified_app_goes_on_to_be_asked_who_its_user_is(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "emulated", lambda: False)
    seen = []
    # Google's signature can't be made here.
    monkeypatch.setattr(app_check, "verify_token", lambda token, **_: seen.append(token))
    with Flask("test").test_request_context("/?id=ring-0001", headers={"X-Firebase-AppCheck": "google's"}) as context:
        answer = serve.open_image(platform, context.request)
    assert seen == ["google's"]
    assert "ID token" in answer.get_json()["error"]["message"]
