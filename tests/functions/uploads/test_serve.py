"""Opening in this process, over the real stores, to look at what is left behind and to answer as Google would."""

import gc
import io
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response
from requests.adapters import HTTPAdapter

from astra import vault
from astra.runtime.platform import Platform
from astra.vault import vault_of
from uploads import serve

CONTENT = secrets.token_bytes(4 * 1024 * 1024)
ID = "ring-0001"


class Image:
    """A sealed object of several MiB and its record."""

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform, self.uid = platform, secrets.token_hex(14)
        platform.db.document(f"users/{self.uid}").set({"state": "active"})
        facts = {"status": "ready", "contentType": "image/png", "bytes": len(CONTENT), "createdAt": platform.clock()}
        self.record = platform.db.document(f"users/{self.uid}/images/{ID}")
        self.record.set(facts)
        self.blob, sink = platform.bucket.blob(f"images/{self.uid}/{ID}"), io.BytesIO()
        vault.seal(io.BytesIO(CONTENT), sink, vault_of(platform).new_object(self.uid, ID)["full"])
        self.blob.upload_from_string(sink.getvalue())

    def open(self, **headers: str) -> Response:
        with Flask("test").test_request_context(f"/?id={ID}", headers=headers) as context:
            return serve.open_image(self.platform, context.request)


@pytest.fixture
def image(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> Image:
    made = Image(platform)
    monkeypatch.setattr(serve, "_caller", lambda *_: made.uid)  # tokens have tests of their own
    return made


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every answer of the storage that brings content, with nothing collected that is not dropped."""
    answers, real = [], HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        answer = real(self, request, *args, **kwargs)
        if "alt=media" in request.url:
            answers.append(answer)
        return answer

    monkeypatch.setattr(HTTPAdapter, "send", send)
    gc.disable()
    yield answers
    gc.enable()


def no_record(image: Image, _patch: pytest.MonkeyPatch) -> None:
    image.record.delete()


def no_key(image: Image, _patch: pytest.MonkeyPatch) -> None:
    vault_of(image.platform).destroy_object(image.uid, ID)


def another_length(image: Image, _patch: pytest.MonkeyPatch) -> None:
    image.blob.upload_from_string(b"ASTR" + bytes(len(CONTENT)))


def too_many(_image: Image, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(serve, "_MAX_USER_REQUESTS", 0)


def broken(_image: Image, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(serve, "_find", lambda *_: {}["of ours"])


@pytest.mark.parametrize(
    ("refuse", "status"), [(no_record, 404), (no_key, 404), (another_length, 404), (too_many, 429), (broken, 500)]
)
def test_a_download_begun_for_a_refused_request_is_closed_at_once(
    image: Image,
    downloads: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    refuse: Callable[[Image, pytest.MonkeyPatch], None],
    status: int,
) -> None:
    refuse(image, monkeypatch)
    assert image.open().status_code == status
    [download] = downloads
    assert download.raw.closed


def test_a_download_that_is_sent_is_left_open_to_its_end(image: Image, downloads: list[Any]) -> None:
    answer = image.open()
    assert answer.get_data() == CONTENT
    [download] = downloads
    assert download.raw.closed


def test_a_sealed_object_cut_before_the_range_is_not_found(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    # Google refuses a range behind the object's end; the emulator sends what there is.
    real = HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        answer = real(self, request, *args, **kwargs)
        if "alt=media" in request.url and not request.headers["Range"].startswith("bytes=0-"):
            answer.status_code = 416
        return answer

    monkeypatch.setattr(HTTPAdapter, "send", send)
    assert image.open(Range="bytes=0-9").status_code == 404


@pytest.mark.parametrize("fields", [{"expireAt": 0}, {"expireAt": 9, "expiredAt": 0}], ids=["expired", "kept"])
def test_an_image_that_has_expired_is_not_served_although_it_is_still_there(
    image: Image, fields: dict[str, int]
) -> None:
    now = image.platform.clock()
    image.record.update({"expireAt": now + timedelta(seconds=1)})
    assert image.open().status_code == 200
    image.record.update({name: now + timedelta(seconds=seconds) for name, seconds in fields.items()})
    assert image.open().status_code == 404
