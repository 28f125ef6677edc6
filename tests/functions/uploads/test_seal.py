"""Sealing in this process, over the real stores, to stop it between any two of its steps."""

import io
import secrets
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.firestore_v1.batch import WriteBatch
from google.cloud.firestore_v1.transaction import _Transactional
from google.cloud.storage import Blob
from PIL import Image
from requests.adapters import HTTPAdapter

from astra.accounts import tombstones
from astra.runtime.platform import Platform
from astra.vault import cobblestone, vault_of
from local.demo.customer_life import PHOTOGRAPH
from uploads import sanitize
from uploads import seal as uploads_seal

PHOTO = PHOTOGRAPH.read_bytes()
SEALED = ["images", "thumbs"]
BUDGET = timedelta(minutes=3)


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
        uploads_seal.seal_upload(self.platform, self.blob.name, self.generation, self.size)

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


def test_what_came_before_its_owner_was_frozen_is_sealed(quiet: Platform[Any], ada: str) -> None:
    """The report may be false: then everything is to be there."""
    upload = Upload(quiet, ada)
    quiet.db.document(f"users/{ada}").update({"state": "frozen"})
    upload.seal()
    assert (upload.record() or {})["status"] == "ready"
    assert upload.objects() == SEALED


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


@pytest.mark.parametrize("uid", ["ada.lovelace", "ada@example.com", "oauth:4711", "жанна"])
def test_an_upload_of_any_account_id_that_can_sign_in_is_sealed(quiet: Platform[Any], uid: str) -> None:
    """Firebase Auth makes ids of letters and digits; an account that was imported may have another."""
    quiet.db.document(f"users/{uid}").set({"state": "active", "name": "Ada", "email": "ada@example.com"})
    upload = Upload(quiet, uid)
    upload.seal()
    assert (upload.record() or {})["status"] == "ready"
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
    (WriteBatch, "commit"),
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
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=["read", "transaction", "commit", "write", "delete"])
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
        assert uploads_seal.recover(quiet, BUDGET) <= 1
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
    uploads_seal.seal_upload(quiet, blob.name, int(blob.generation), len(PHOTO))
    assert not blob.exists()
    assert not quiet.db.collection(f"users/{ada}/images").get()


def test_objects_outside_incoming_are_left_alone(quiet: Platform[Any], ada: str) -> None:
    blob = quiet.bucket.blob(f"images/{ada}/ring-0001")
    blob.upload_from_string(b"sealed")
    uploads_seal.seal_upload(quiet, blob.name, int(blob.generation), 6)
    assert blob.exists()


def test_a_second_upload_under_a_used_id_never_replaces_the_first(quiet: Platform[Any], ada: str) -> None:
    first = Upload(quiet, ada)
    first.seal()
    record = first.record()
    first.blob.upload_from_string(b"something else")
    uploads_seal.seal_upload(quiet, first.blob.name, int(first.blob.generation), 14)
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


def keys(platform: Platform[Any], upload: Upload) -> bool:
    found: bool = vault_of(platform).object(upload.uid, upload.id).get().exists
    return found


def before_the_record(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let something happen when everything is stored and only the record is missing, once."""
    real, calls = uploads_seal._record, [0]

    def late(*args: Any) -> None:
        calls[0] += 1
        if calls[0] == 1:
            meanwhile()
        real(*args)

    monkeypatch.setattr(uploads_seal, "_record", late)


def test_a_worker_that_comes_after_the_giving_up_removes_what_it_made(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Upload(quiet, ada)
    before_the_record(monkeypatch, lambda: uploads_seal._give_up(quiet, upload.blob))
    upload.seal()
    assert (upload.record() or {})["status"] == "rejected"
    assert upload.objects() == []
    assert not keys(quiet, upload)


def test_a_giving_up_that_comes_after_the_worker_leaves_the_image(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    upload.seal()
    record = upload.record()
    uploads_seal._give_up(quiet, upload.blob)
    assert upload.record() == record
    assert upload.objects() == SEALED
    assert keys(quiet, upload)


@pytest.mark.parametrize("failing", ["first", "second"])
def test_of_two_workers_the_first_to_record_decides(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The same event twice at once: one of the two meets a failure of the decoder."""
    upload, real, calls = Upload(quiet, ada), sanitize.clean, [0]

    def clean(raw: bytes) -> sanitize.CleanImage:
        calls[0] += 1
        if calls[0] == (1 if failing == "first" else 2):
            raise sanitize.Rejected("The decoder failed.")
        return real(raw)

    monkeypatch.setattr(sanitize, "clean", clean)
    before_the_record(monkeypatch, upload.seal)
    upload.seal()
    assert calls[0] == 2
    # What the first is about to record, the second has decided otherwise by then.
    ready = failing == "first"
    assert (upload.record() or {})["status"] == ("ready" if ready else "rejected")
    assert upload.objects() == (SEALED if ready else [])
    assert keys(quiet, upload) == ready


@pytest.mark.parametrize("reason", [sanitize.Rejected("no thumbnail"), MemoryError()])
def test_a_thumbnail_that_fails_when_the_image_is_stored_already_leaves_neither(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch, reason: Exception
) -> None:
    def fail(*_: Any) -> bytes:
        deadline = time.monotonic() + 20
        while "images" not in upload.objects():
            assert time.monotonic() < deadline, "the image is never stored"
        raise reason

    upload = Upload(quiet, ada)
    monkeypatch.setattr(sanitize, "_thumbnail", fail)
    quiet.clock.step(hours=2)  # type: ignore[attr-defined]
    uploads_seal.recover(quiet, BUDGET)
    assert (upload.record() or {})["status"] == "rejected"
    assert upload.objects() == []
    assert not keys(quiet, upload)


def test_a_crash_between_rejecting_and_removing_is_finished_by_the_same_event(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Upload(quiet, ada)
    with monkeypatch.context() as patch:
        before_the_record(patch, lambda: uploads_seal._reject(quiet, ada, upload.id, "given up", upload.size))
        crash_at(patch, uploads_seal, "_tidy", 1, after=False)
        with pytest.raises(Crash):
            upload.seal()
    assert upload.objects() == ["images", "incoming", "thumbs"]
    upload.seal()
    assert upload.objects() == []
    assert not keys(quiet, upload)


def test_a_database_that_is_not_found_is_no_event_seen_before(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise NotFound("no such database")

    upload = Upload(quiet, ada)
    with monkeypatch.context() as patch:
        patch.setattr(_Transactional, "__call__", missing)
        with pytest.raises(NotFound):
            upload.seal()
    assert "incoming" in upload.objects()
    upload.seal()
    assert upload.objects() == SEALED


def test_the_record_waits_for_the_objects_before_its_commit(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], tombstones.commit_unless_erased

    def watched(*args: Any) -> None:
        seen.append(upload.objects())
        real(*args)

    upload = Upload(quiet, ada)
    monkeypatch.setattr(tombstones, "commit_unless_erased", watched)
    upload.seal()
    assert seen == [["images", "incoming", "thumbs"]]


def test_a_transparent_gif_is_stored_to_the_pixel(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.frombytes("P", (400, 300), bytes(byte % 128 for byte in secrets.token_bytes(400 * 300)))
    image.putpalette(secrets.token_bytes(128 * 3))
    sink = io.BytesIO()
    image.save(sink, "GIF", transparency=7)
    upload, small = Upload(quiet, ada, sink.getvalue()), threading.Event()
    thumbnail, save = sanitize._thumbnail, Image.Image.save

    def first(*args: Any) -> bytes:
        made = thumbnail(*args)
        small.set()
        return made

    def second(self: Image.Image, sink: Any, kind: str, **options: Any) -> None:
        assert kind != "GIF" or small.wait(20)
        save(self, sink, kind, **options)

    monkeypatch.setattr(sanitize, "_thumbnail", first)
    monkeypatch.setattr(Image.Image, "save", second)
    upload.seal()
    sealed = quiet.bucket.blob(f"images/{ada}/{upload.id}").download_as_bytes()
    key = vault_of(quiet).find_object(ada, upload.id)
    opened = b"".join(cobblestone.unseal([sealed], key.dek, key.bound_to))
    with Image.open(sink) as before, Image.open(io.BytesIO(opened)) as after:
        assert after.convert("RGBA").tobytes() == before.convert("RGBA").tobytes()


def test_a_fresh_upload_is_left_to_its_event(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    assert uploads_seal.recover(quiet, BUDGET) == 0
    assert upload.objects() == ["incoming"]


def test_an_upload_whose_event_was_lost_is_sealed(quiet: Platform[Any], ada: str) -> None:
    upload = Upload(quiet, ada)
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    assert uploads_seal.recover(quiet, BUDGET) == 1
    assert upload.objects() == SEALED
    assert uploads_seal.recover(quiet, BUDGET) == 0


def test_a_poisoned_upload_delays_nobody_and_is_rejected_within_the_hour(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, good = Upload(quiet, ada), Upload(quiet, ada)
    real = uploads_seal._seal

    def fail(platform: Any, blob: Any, *rest: Any) -> None:
        if blob.name == poison.blob.name:
            raise MemoryError
        real(platform, blob, *rest)

    monkeypatch.setattr(uploads_seal, "_seal", fail)
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    uploads_seal.recover(quiet, BUDGET)
    assert (good.record() or {})["status"] == "ready"
    assert poison.record() is None
    quiet.clock.step(hours=1)  # type: ignore[attr-defined]
    uploads_seal.recover(quiet, BUDGET)
    record = poison.record()
    assert record is not None
    assert (record["status"], record["reason"]) == ("rejected", "The image could not be processed. Try another file.")
    assert good.objects() == SEALED
    assert not keys(quiet, poison)


@pytest.mark.parametrize(("hours", "status"), [(2, "ready"), (25, "rejected")])
def test_an_old_upload_is_tried_before_it_is_given_up_within_a_day(
    quiet: Platform[Any], ada: str, hours: float, status: str
) -> None:
    upload = Upload(quiet, ada)
    quiet.clock.step(hours=hours)  # type: ignore[attr-defined]
    uploads_seal.recover(quiet, BUDGET)
    assert (upload.record() or {})["status"] == status
    assert upload.objects() == (SEALED if status == "ready" else [])


def test_fresh_uploads_hide_no_stale_one(quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Upload(quiet, ada)
    quiet.clock.now = stale.blob.time_created + timedelta(minutes=11)  # type: ignore[attr-defined]
    for n in range(3):
        blob = quiet.bucket.blob(f"incoming/!{n}")  # sorts first
        blob.upload_from_string(b"fresh")
    real = Blob.time_created.fget

    def created(blob: Blob) -> Any:
        return quiet.clock() if blob.name.startswith("incoming/!") else real(blob)

    monkeypatch.setattr(Blob, "time_created", property(created))
    monkeypatch.setattr(uploads_seal, "_MAX_RECOVERED_UPLOADS", 2)
    assert uploads_seal.recover(quiet, BUDGET) == 1
    assert (stale.record() or {})["status"] == "ready"


def test_recovering_ends_with_its_budget_and_goes_on_the_next_time(
    quiet: Platform[Any], ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = uploads_seal.seal_upload

    def slow(platform: Any, *args: Any) -> None:
        real(platform, *args)
        platform.clock.step(minutes=2)

    uploads = [Upload(quiet, ada) for _ in range(3)]
    monkeypatch.setattr(uploads_seal, "seal_upload", slow)
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    assert uploads_seal.recover(quiet, BUDGET) == 2
    assert uploads_seal.recover(quiet, BUDGET) == 1
    assert all((upload.record() or {})["status"] == "ready" for upload in uploads)


def test_what_lies_in_incoming_under_no_name_of_ours_goes_too(quiet: Platform[Any]) -> None:
    quiet.bucket.blob("incoming/odd").upload_from_string(b"plaintext")
    quiet.clock.step(minutes=11)  # type: ignore[attr-defined]
    uploads_seal.recover(quiet, BUDGET)
    assert not list(quiet.bucket.list_blobs())


@pytest.mark.parametrize("content", [PHOTO, b"plain text"], ids=["image", "no image"])
def test_every_read_write_and_delete_names_its_generation_on_the_wire(
    quiet: Platform[Any], ada: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, sent, real = Upload(quiet, ada, content), [], HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        if "/storage/" in request.url and (request.method != "GET" or "alt=media" in request.url):
            sent.append((request.method, parse_qs(urlsplit(request.url).query)))
        return real(self, request, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    upload.seal()
    assert [method for method, _ in sent] == ["GET", *(["POST", "POST"] if content == PHOTO else []), "DELETE"]
    for method, query in sent:
        wanted = "0" if method == "POST" else str(upload.generation)
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
