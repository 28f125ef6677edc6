import io
from typing import Any

import pytest
from firebase_functions.https_fn import HttpsError
from google.cloud.storage import Blob

from astra import erasure
from astra.runtime.callables import Call, Caller
from astra.runtime.platform import Platform
from astra.vault import vault_of
from astra.vault.cobblestone import Unopenable
from erasure import items
from tests.functions.erasure.somebody import Somebody


def delete(ada: Somebody, kind: str, item_id: str) -> None:
    caller = Caller(ada.uid, ada.platform.clock(), "")
    assert items.delete_item(ada.platform, Call(items.DeleteItem(kind=kind, id=item_id), caller)) == {}  # type: ignore[arg-type]


def put_image(ada: Somebody, image_id: str) -> None:
    for folder in ("images", "thumbs"):
        ada.platform.bucket.blob(f"{folder}/{ada.uid}/{image_id}").upload_from_file(io.BytesIO(b"sealed"), size=6)
    vault_of(ada.platform).new_object(ada.uid, image_id)
    ada.platform.db.document(f"users/{ada.uid}/images/{image_id}").set({"status": "ready"})


def test_an_image_goes_with_its_key_and_its_thumbnail_and_nothing_else(platform: Platform[Any], ada: Somebody) -> None:
    neighbour = Somebody(platform, ada.uid + "x")
    others = ada.places() | neighbour.places()
    put_image(ada, "ring-00")  # ring-0001 begins like it
    delete(ada, "image", "ring-00")
    assert ada.places() | neighbour.places() == others
    with pytest.raises(Unopenable):
        vault_of(platform).find_object(ada.uid, "ring-00")
    vault_of(platform).find_object(ada.uid, "ring-0001")
    delete(ada, "image", "ring-00")  # gone is success


@pytest.mark.parametrize(("kind", "folder"), [("prompt", "prompts"), ("event", "events")])
def test_a_prompt_or_an_event_goes(ada: Somebody, kind: str, folder: str) -> None:
    before = ada.places()
    for name in ("one-0001", "two-0001"):
        ada.platform.db.document(f"users/{ada.uid}/{folder}/{name}").set({"createdAt": ada.platform.clock()})
    delete(ada, kind, "one-0001")
    assert ada.places() - before == {f"(default):users/{ada.uid}/{folder}/two-0001"}


def test_a_deletion_that_broke_off_is_finished_by_asking_again(ada: Somebody, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ada.places()
    put_image(ada, "ring-0009")

    def down(*_: Any, **__: Any) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(Blob, "delete", down)
        with pytest.raises(OSError):
            delete(ada, "image", "ring-0009")
    # Noise already, and still listed, so that its owner sees that it is not done.
    with pytest.raises(Unopenable):
        vault_of(ada.platform).find_object(ada.uid, "ring-0009")
    assert ada.platform.db.document(f"users/{ada.uid}/images/ring-0009").get().exists
    delete(ada, "image", "ring-0009")
    assert ada.places() == before


def test_what_is_held_is_refused_and_stays(ada: Somebody) -> None:
    before = ada.places()
    ada.hold("sealed-images", days=9)
    with pytest.raises(HttpsError) as refused:
        delete(ada, "image", "ring-0001")
    assert "legal obligation" in refused.value.message
    assert ada.places() == before


def test_the_key_of_a_held_prompt_is_not_destroyed_with_its_image(ada: Somebody) -> None:
    now = ada.platform.clock()
    ada.platform.db.document(f"users/{ada.uid}/prompts/ring-0001").set({"createdAt": now})
    put_image(ada, "ring-0002")
    ada.hold("prompts", days=9)
    with pytest.raises(HttpsError):
        delete(ada, "image", "ring-0001")
    vault_of(ada.platform).find_object(ada.uid, "ring-0001")
    delete(ada, "image", "ring-0002")  # no prompt of it is held


def test_who_is_being_erased_deletes_nothing_more(ada: Somebody) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    with pytest.raises(HttpsError) as refused:
        delete(ada, "image", "ring-0001")
    assert "being deleted" in refused.value.message
