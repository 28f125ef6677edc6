"""Sealing in this process, over the real stores, to stop it between any two of its steps."""

import io
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.api_core.exceptions import PreconditionFailed
from google.cloud.firestore_v1.transaction import _Transactional
from google.cloud.storage import Blob
from requests.adapters import HTTPAdapter

import sealing
from astra import tombstones
from astra.platform import Platform
from local.story import PHOTOGRAPH

PHOTO = PHOTOGRAPH.read_bytes()
SEALED = ["images", "thumbs"]


class Crash(BaseException):
    """What SIGKILL looks like from inside: nothing of ours may catch it."""


class Upload:
    """One object in `incoming/`, put there past the rules."""

    def __init__(self, platform: Platform[Any], uid: str, content: bytes = PHOTO) -> None:
        self.platform, self.uid, self.id = platform, uid, secrets.token_urlsafe(12)
        self.blob = platform.bucket.blob(f"incoming/{uid}/{self.id}")
        self.blob.upload_from_file(io.BytesIO(content), size=len(content), content_type="image/jpeg")
        self.generation, self.size = int(self.blob.generation), len(content)

    def seal(self) -> None:
        sealing.seal_upload(self.platform, self.blob.name, self.generation, self.size)

    def record(self) -> dict[str, Any] | None:
        record: dict[str, Any] | None = self.platform.db.document(f"users/{self.uid}/images/{self.id}").get().to_dict()
        return record

    def objects(self) -> list[str]:
        return sorted(
            blob.name.split("/")[0]
            for prefix in (f"incoming/{self.uid}/", f"images/{self.uid}/", f"thumbs/{self.uid}/")
            for blob in self.platform.bucket.list_blobs(prefix=prefix)
        )


@pytest.fixture
def quiet(platform: Platform[Any]) -> Platform[Any]:
    """The platform with another bucket: the deployed trigger, which listens on the first, would race with the test."""
    platform.__dict__["bucket"] = platform.bucket.client.bucket(f"quiet-{secrets.token_hex(8)}")
    return platform


@pytest.fixture
def ada(quiet: Platform[Any]) -> str:
    uid = secrets.token_hex(14)
    quiet.db.document(f"users/{uid}").set({"state": "active", "name": "Ada", "email": "ada@example.com"})
    return uid


def test_an_upload_becomes_one_sealed_object_and_its_record(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    upload.seal()
    record = upload.record()
    assert record is not None
    assert record | {"createdAt": 0, "bytes": 0, "thumbBytes": 0} == {
        "status": "ready",
        "source": "uploaded",
        "contentType": "image/jpeg",
        "width": 640,
        "height": 427,
        "bytes": 0,
        "thumbBytes": 0,
        "createdAt": 0,
    }
    assert upload.objects() == SEALED


def test_the_same_event_again_changes_nothing(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    upload.seal()
    record, [sealed] = upload.record(), list(quiet.bucket.list_blobs(prefix=f"images/{ada}/"))
    upload.seal()
    assert upload.record() == record
    assert [blob.generation for blob in quiet.bucket.list_blobs(prefix=f"images/{ada}/")] == [sealed.generation]


STEPS: list[tuple[Any, str]] = [
    (Blob, "download_as_bytes"),
    (_Transactional, "__call__"),
    (Blob, "upload_from_file"),
    (Blob, "delete"),
]


def crash_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, nth: int, *, after: bool) -> Callable[[], bool]:
    """Crash before or after the `nth` call of a step. Answers whether that call ever came."""
    real, calls = getattr(owner, name), [0]

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] != nth:
            return real(self, *args, **kwargs)
        if after:
            real(self, *args, **kwargs)
        raise Crash

    monkeypatch.setattr(owner, name, step)
    return lambda: calls[0] >= nth


@pytest.mark.parametrize("finish", ["the same event", "recover"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=["read", "transaction", "write", "delete"])
def test_a_crash_at_any_step_leaves_work_that_the_same_event_finishes(
    quiet: Platform[Any], ada: str, owner: Any, name: str, nth: int, finish: str, *, after: bool
) -> None:
    upload = Upload(quiet, ada)
    with pytest.MonkeyPatch.context() as patch:
        reached = crash_at(patch, owner, name, nth, after=after)
        try:
            upload.seal()
        except Crash:
            assert upload.objects() != []
    if finish == "the same event":
        upload.seal()
    else:
        quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
        assert sealing.recover(quiet) <= 1
    record = upload.record()
    assert record is not None
    assert record["status"] == "ready"
    assert upload.objects() == SEALED
    if nth == 1:
        assert reached(), f"{name} is no step of sealing any more: mend this test"


def test_a_file_that_is_no_image_leaves_a_reason_and_no_bytes(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada, b"plain text, whatever its name")
    upload.seal()
    record = upload.record()
    assert record is not None
    assert record["status"] == "rejected"
    assert "damaged" in record["reason"]
    assert upload.objects() == []


def test_a_crash_after_a_rejection_still_ends_without_bytes(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada, b"plain text")
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, Blob, "delete", 1, after=False)
        with pytest.raises(Crash):
            upload.seal()
    assert upload.objects() == ["incoming"]
    upload.seal()
    assert upload.objects() == []


def test_an_upload_of_nobody_is_removed_unread(quiet: Platform[Any]) -> None:
    upload = Upload(quiet, "nobody-" + secrets.token_hex(8))
    upload.seal()
    assert upload.record() is None
    assert upload.objects() == []


@pytest.mark.parametrize(
    "name", ["incoming/{}/../escape", "incoming/{}/short", "incoming/{}", "incoming/{}/a/b12345678"]
)
def test_a_name_that_the_rules_would_never_let_in_is_removed(quiet: Platform[Any], ada: str, name: str) -> None:
    blob = quiet.bucket.blob(name.format(ada))
    blob.upload_from_string(PHOTO)
    sealing.seal_upload(quiet, blob.name, int(blob.generation), len(PHOTO))
    assert not blob.exists()
    assert not list(quiet.db.collection(f"users/{ada}/images").stream())


def test_objects_outside_incoming_are_left_alone(quiet: Platform[Any], ada: str) -> None:
    blob = quiet.bucket.blob(f"images/{ada}/ring-0001")
    blob.upload_from_string(b"sealed")
    sealing.seal_upload(quiet, blob.name, int(blob.generation), 6)
    assert blob.exists()


def test_a_second_upload_under_a_used_id_never_replaces_the_first(quiet: Platform[Any], ada: str) -> None:
    first = Upload(quiet, ada)
    first.seal()
    record = first.record()
    first.blob.upload_from_string(b"something else")
    sealing.seal_upload(quiet, first.blob.name, int(first.blob.generation), 14)
    assert first.record() == record
    assert first.objects() == SEALED


@pytest.mark.parametrize("moment", ["download_as_bytes", "upload_from_file"])
def test_an_erasure_asked_for_meanwhile_wins(
    quiet: Platform[Any], ada: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, real = Upload(quiet, ada), getattr(Blob, moment)

    def meanwhile(self: Blob, *args: Any, **kwargs: Any) -> Any:
        tombstones.reference(quiet.db, quiet.pseudonyms.of_uid(ada)).set({"erasedAt": quiet.clock()})
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Blob, moment, meanwhile)
    upload.seal()
    assert upload.record() is None
    assert upload.objects() == []
    assert not quiet.vault_db.document(f"keys/{ada}/objects/{upload.id}").get().exists


def test_a_fresh_upload_is_left_to_its_event(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    assert sealing.recover(quiet) == 0
    assert upload.objects() == ["incoming"]


def test_an_upload_whose_event_was_lost_is_sealed(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    assert sealing.recover(quiet) == 1
    assert upload.objects() == SEALED
    assert sealing.recover(quiet) == 0


def test_a_poisoned_upload_delays_nobody_and_is_rejected_within_the_hour(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, good = Upload(quiet, ada), Upload(quiet, ada)
    real = sealing._seal

    def fail(platform: Any, blob: Any, *rest: Any) -> None:
        if blob.name == poison.blob.name:
            raise MemoryError
        real(platform, blob, *rest)

    monkeypatch.setattr(sealing, "_seal", fail)
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    sealing.recover(quiet)
    assert (good.record() or {})["status"] == "ready"
    assert poison.record() is None
    quiet.clock.step(hours=1)  # type: ignore[attr-defined]
    sealing.recover(quiet)
    record = poison.record()
    assert record is not None
    assert (record["status"], record["reason"]) == ("rejected", "The image could not be processed. Try another file.")
    assert "incoming" not in good.objects()


def test_what_lies_in_incoming_under_no_name_of_ours_goes_too(quiet: Platform[Any]) -> None:
    quiet.bucket.blob("incoming/odd").upload_from_string(b"plaintext")
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    sealing.recover(quiet)
    assert not list(quiet.bucket.list_blobs())


@pytest.mark.parametrize("content", [PHOTO, b"plain text"], ids=["image", "no image"])
def test_every_write_and_delete_names_its_generation_on_the_wire(
    quiet: Platform[Any], ada: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, sent, real = Upload(quiet, ada, content), [], HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        if "/storage/" in request.url and request.method in ("POST", "PUT", "PATCH", "DELETE"):
            sent.append((request.method, parse_qs(urlsplit(request.url).query)))
        return real(self, request, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    upload.seal()
    assert [method for method, _ in sent] == (["POST", "POST", "DELETE"] if content == PHOTO else ["DELETE"])
    for method, query in sent:
        wanted = str(upload.generation) if method == "DELETE" else "0"
        assert query["ifGenerationMatch"] == [wanted], f"{method} without its precondition"


def test_a_sealed_object_that_changed_meanwhile_is_not_overwritten(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The emulator ignores preconditions, so the answer that Google gives is given here.
    upload, real = Upload(quiet, ada), HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        response = real(self, request, *args, **kwargs)
        if request.method == "POST" and "/upload/" in request.url:
            response.status_code = 412
        return response

    with monkeypatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", send)
        with pytest.raises(PreconditionFailed):
            upload.seal()
    assert upload.record() is None
    assert "incoming" in upload.objects()
    upload.seal()
    assert upload.objects() == SEALED
