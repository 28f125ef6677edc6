"""Uploads that an owner may not make, each wrong in one thing only."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from tests.rules.cast import Caller
from tests.rules.objects import Objects

MOST: Final = 50 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Hostile:
    """An upload. In `name`, `{uid}` is its sender and `{id}` a fresh id."""

    why: str
    name: str = "incoming/{uid}/{id}"
    size: int = 5
    content_type: str = "image/png"
    metadata: dict[str, Any] = field(default_factory=dict)

    def tried(self, objects: Objects, caller: Caller | None = None) -> bool:
        """Whether it gets through, from the owner of the matrix if not from somebody else."""
        caller = caller or objects.cast.callers["owner"]
        name = self.name.format(uid=caller.whose, id=secrets.token_urlsafe(12))
        answer = objects.put(name, b"x" * self.size, self.content_type, caller.token, self.metadata)
        assert answer.status_code in (200, 403), answer.text
        if answer.status_code == 200:
            objects.remove(name)  # some are large, and other tests look through all there is
        return answer.status_code == 200


HOSTILE: Final = [
    Hostile("a short id", "incoming/{uid}/1234567"),
    Hostile("a long id", "incoming/{uid}/" + "a" * 65),
    Hostile("an id with a dot", "incoming/{uid}/picture.png"),
    Hostile("an id with a line feed", "incoming/{uid}/12345678\n"),
    Hostile("an id that is not ASCII", "incoming/{uid}/pictüre-1"),
    Hostile("an id that Firestore keeps for itself", "incoming/{uid}/__picture__"),
    Hostile("an id of two dots", "incoming/{uid}/.."),
    Hostile("a folder in the folder", "incoming/{uid}/{id}/{id}"),
    Hostile("no folder", "incoming/{id}"),
    Hostile("somebody else's folder", "incoming/somebody-else/{id}"),
    Hostile("a folder whose name begins as the owner's", "incoming/{uid}x/{id}"),
    Hostile("the folder of what is sealed", "images/{uid}/{id}"),
    Hostile("over what waits", "incoming/{uid}/item-0001"),
    Hostile("over what was sealed", "incoming/{uid}/already-an-image"),
    Hostile("HTML", content_type="text/html"),
    Hostile("SVG", content_type="image/svg+xml"),
    Hostile("a type with more before it", content_type="text/html,image/png"),
    Hostile("a type with more behind it", content_type="image/png; charset=utf-8"),
    Hostile("a type in capitals", content_type="IMAGE/PNG"),
    Hostile("a type that is a number", metadata={"contentType": 7}),
    Hostile("no type", metadata={"contentType": None}),
    Hostile("metadata of its own", metadata={"metadata": {"owner": "somebody-else"}}),
    Hostile("a megabyte of metadata", metadata={"metadata": {"note": "x" * 1024 * 1024}}),
    Hostile("nothing", size=0),
    Hostile("too much", size=MOST + 1),
]
