import secrets
from typing import Any

import pytest
from flask import Flask

import opening
from astra.platform import Platform


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
    monkeypatch.setattr(opening, "_MOST", 2)
    monkeypatch.setattr(opening, "_caller", lambda *_: uid)  # tokens have tests of their own
    with Flask("test").test_request_context("/?id=ring-0001", method="HEAD") as context:
        answers = [opening.open_image(platform, context.request) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert answers[2].get_json()["error"]["status"] == "RESOURCE_EXHAUSTED"
