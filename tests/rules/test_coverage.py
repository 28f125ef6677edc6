"""What the matrix asks makes the engine evaluate every expression of the rules: none stands there untried."""

from collections import defaultdict
from typing import Any

import pytest

from tests.rules.documents import Documents
from tests.rules.places import DOCUMENT_OPERATIONS, DOCUMENTS, cells

#: An expression, by where it begins and ends in the file.
Span = tuple[int, int]


def gather(report: dict[str, Any], outcomes: dict[Span, set[str]]) -> None:
    """What an expression and those in it came to: true, false, error, or a value of another kind."""
    at = report["sourcePosition"]
    found = outcomes[at["currentOffset"], at["endOffset"]]
    for entry in report.get("values", []):
        for kind, value in entry["value"].items():
            if kind == "boolValue":
                found.add(str(value).lower())
            elif kind != "undefined":
                found.add(kind)
            elif value:  # an error says its cause; what was passed over says nothing
                found.add("error")
    for child in report.get("children", []):
        gather(child, outcomes)


@pytest.fixture(scope="module")
def outcomes(documents: Documents) -> dict[str, set[str]]:
    readable = [
        place
        for place in DOCUMENTS
        if place.public or place.for_members or place.owner_may or place.database == "vault"
    ]
    for cell in cells(readable, DOCUMENT_OPERATIONS):
        if cell.who in ("owner", "anonymous", "erasing"):
            documents.allows(cell)
    owner = documents.cast.callers["owner"]
    assert documents.request("GET", f"users/{owner.whose}/images/not-there", owner.token).status_code == 404
    found: dict[Span, set[str]] = defaultdict(set)
    for coverage in documents.coverage():
        assert coverage["report"]
        for report in coverage["report"]:
            gather(report, found)
    text = coverage["rules"]["files"][0]["content"]
    return {f"{start}: {text[start : end + 1]}": values for (start, end), values in found.items()}


def test_no_expression_is_unevaluated(outcomes: dict[str, set[str]]) -> None:
    assert outcomes
    assert [expression for expression, values in outcomes.items() if not values] == []


def test_every_condition_both_held_and_did_not(outcomes: dict[str, set[str]]) -> None:
    conditions = {expression: values for expression, values in outcomes.items() if values & {"true", "false"}}
    assert conditions
    assert [at for at, values in conditions.items() if "true" not in values or not values & {"false", "error"}] == []
