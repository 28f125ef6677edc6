"""A rule that is weaker in any one place lets something through that the matrix expects to be refused."""

import re
from collections.abc import Iterator

import pytest

from local.paths import ROOT
from tests.rules.documents import Documents
from tests.rules.mutants import Mutant, weakened
from tests.rules.objects import RULES, Objects
from tests.rules.places import DOCUMENT_OPERATIONS, DOCUMENTS, OBJECT_OPERATIONS, OBJECTS, Cell, cells
from tests.rules.uploads import HOSTILE, Hostile

FIRESTORE_TEXT = (ROOT / "firestore.rules").read_text(encoding="utf-8")
STORAGE_TEXT = RULES.read_text(encoding="utf-8")
WRITES = {"create", "overwrite", "update", "delete"}
FIRESTORE, STORAGE = weakened(FIRESTORE_TEXT), weakened(STORAGE_TEXT)


def refused(all_cells: list[Cell], mutant: Mutant) -> tuple[list[Cell], list[Cell]]:
    """The cells that must be refused, those of the mutant's place and all others; those that see most come first."""
    path = re.sub(r"\{(?!uid)\w+\}", "{item}", mutant.path)
    found = [cell for cell in all_cells if not cell.expected]
    found.sort(key=lambda cell: ["other", "owner", cell.who].index(cell.who))
    own = [cell for cell in found if cell.place.path.startswith(path)]
    return own, [cell for cell in found if not cell.place.path.startswith(path)]


@pytest.mark.parametrize("mutant", FIRESTORE, ids=lambda mutant: mutant.name)
def test_a_weaker_rule_of_firestore_is_seen(weakened_documents: Documents, mutant: Mutant) -> None:
    weakened_documents.load(mutant.text)
    own, others = refused(cells(DOCUMENTS, DOCUMENT_OPERATIONS), mutant)
    for cell in own + others:
        if weakened_documents.allows(cell):
            if cell.operation in WRITES:
                weakened_documents.seed()
            return
    pytest.fail("nothing in the matrix sees this")


@pytest.fixture(scope="module")
def weakened_objects(objects: Objects) -> Iterator[Objects]:
    yield objects
    objects.load(STORAGE_TEXT)


@pytest.mark.parametrize("mutant", STORAGE, ids=lambda mutant: mutant.name)
def test_a_weaker_rule_of_storage_is_seen(weakened_objects: Objects, mutant: Mutant) -> None:
    objects = weakened_objects
    objects.load(mutant.text)
    own, others = refused(cells(OBJECTS, OBJECT_OPERATIONS), mutant)
    for question in [*own, *HOSTILE, *others]:
        if question.tried(objects) if isinstance(question, Hostile) else objects.allows(question):
            if isinstance(question, Hostile) or question.operation in WRITES:
                objects.seed()
            return
    pytest.fail("nothing in the matrix sees this")


@pytest.mark.parametrize("text", [FIRESTORE_TEXT, STORAGE_TEXT], ids=["firestore", "storage"])
def test_every_allow_and_every_term_is_weakened(text: str) -> None:
    mutants = weakened(text)
    assert len({mutant.name for mutant in mutants}) == len({mutant.text for mutant in mutants}) == len(mutants)
    for number, line in enumerate(text.splitlines(), 1):
        conditions = len(re.findall(r"\bif\b|\breturn\b|&&|\|\|", line.partition("//")[0]))
        found = [m for m in mutants if m.name.startswith(f"line {number}: ") and "=**}" not in m.name]
        assert len(found) >= conditions, line
