"""Requests to the functions of `uploads`, and their effects in the stores."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from local.paths import ROOT

if TYPE_CHECKING:
    from tests.deployment.world import World
    from tests.support.colleagues import Person

_PHOTOGRAPH = (ROOT / "local/data/photograph.jpg").read_bytes()
_FINALIZED = "google.cloud.storage.object.v1.finalized"


def seal_upload(world: World) -> None:
    ada = world.join()
    image = upload(world, ada)
    finalize(world, ada, image)
    see_sealed(world, ada, image)
    assert "Encrypt" in world.production.rpc.calls


def open_image(world: World) -> None:
    ada = world.join()
    image = upload(world, ada)
    finalize(world, ada, image)
    answer = world.ask("open_image", "GET", f"/?id={image}", headers=world.app_headers(ada))
    assert answer.content.startswith(b"\xff\xd8\xff")
    assert "Decrypt" in world.production.rpc.calls


def recover(world: World) -> None:
    ada = world.join()
    image = upload(world, ada)
    world.fire("recover")
    see_sealed(world, ada, image)


def upload(world: World, person: Person) -> str:
    """Put a photograph where the application puts it. Return its id."""
    image = secrets.token_urlsafe(12)
    blob = world.platform.bucket.blob(f"incoming/{person.uid}/{image}")
    blob.upload_from_string(_PHOTOGRAPH, content_type="image/jpeg")
    return image


def finalize(world: World, person: Person, image: str) -> None:
    """Send the event of an upload."""
    bucket = world.platform.bucket
    blob = bucket.get_blob(f"incoming/{person.uid}/{image}")
    data = {**blob._properties, "kind": "storage#object", "bucket": bucket.name, "size": str(blob.size)}
    source = f"//storage.googleapis.com/projects/_/buckets/{bucket.name}"
    world.deliver("seal_upload", _FINALIZED, source, data, subject=f"objects/{blob.name}")


def see_sealed(world: World, person: Person, image: str) -> None:
    """See that an upload was sealed, and that its plaintext is gone."""
    assert world.fields(f"users/{person.uid}/images/{image}")["status"] == "ready"
    bucket = world.platform.bucket
    assert bucket.blob(f"images/{person.uid}/{image}").download_as_bytes().startswith(b"ASTR")
    assert not bucket.blob(f"incoming/{person.uid}/{image}").exists()
