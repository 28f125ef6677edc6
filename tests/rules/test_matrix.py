"""The matrix: every place of the data map, everybody, and every way to ask, through the clients' own protocols."""

from typing import Any

import httpx
import pytest

from local.paths import ROOT
from local.stack.stack import Stack
from tests.rules.cast import OWNERS, ROLES, WHO, Cast, claims
from tests.rules.documents import Documents
from tests.rules.objects import Objects
from tests.rules.places import DOCUMENT_OPERATIONS, DOCUMENTS, OBJECT_OPERATIONS, OBJECTS, Place, cells


def rows(places: list[Place]) -> Any:
    return pytest.mark.parametrize(
        ("place", "who"), [pytest.param(place, who, id=f"{place}-{who}") for place in places for who in place.who]
    )


@rows(DOCUMENTS)
def test_documents(documents: Documents, place: Place, who: str) -> None:
    row = [cell for cell in cells([place], DOCUMENT_OPERATIONS) if cell.who == who]
    assert [str(cell) for cell in row if documents.allows(cell)] == [str(cell) for cell in row if cell.expected]


@rows(OBJECTS)
def test_objects(objects: Objects, place: Place, who: str) -> None:
    row = [cell for cell in cells([place], OBJECT_OPERATIONS) if cell.who == who]
    assert [str(cell) for cell in row if objects.allows(cell)] == [str(cell) for cell in row if cell.expected]


def test_the_cast_is_who_it_says(cast: Cast) -> None:
    said = {who: claims(cast.callers[who].token) for who in WHO if who != "anonymous"}
    assert {who: said[who].get("role") for who in said} == {who: who if who in ROLES else None for who in said}
    assert [who for who in said if said[who].get("email_verified")] == ["owner"]
    assert [who for who in said if cast.callers[who].whose == said[who]["user_id"]] == [
        *OWNERS,
        "erasing",
        "without a profile",
    ]


def test_the_running_stack_has_these_rules(stack: Stack) -> None:
    url = f"{stack.firestore_url}/emulator/v1/projects/{stack.project}:ruleCoverage"
    [file] = httpx.get(url, timeout=30).raise_for_status().json()["rules"]["files"]
    assert file["content"] == (ROOT / "firestore.rules").read_text(encoding="utf-8")
