"""Nobody writes a document, whatever they make of it and whichever method they use: every write is a function's."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.rules.documents import Documents, query

STRING, LARGE = {"stringValue": "forged"}, {"stringValue": "x" * 1_000_000}
PATHS = ("users/{uid}", "users/{uid}/consents/item-0001", "users/{uid}/requests/item-0001")
PAYLOADS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a state": {"state": {"stringValue": "active"}},
    "a role": {"role": {"stringValue": "cto"}},
    "somebody's id": {"uid": STRING},
    "a field of no meaning": {"unheard-of": STRING},
    "a wrong type": {"email": {"integerValue": "7"}, "ipLock": {"arrayValue": {"values": [STRING]}}},
    "an address": {"email": {"stringValue": "forged@example.com"}},
    "what never changes": {"createdAt": {"timestampValue": "2001-01-01T00:00:00Z"}},
    "a policy not agreed to": {"policyVersion": STRING},
    "an expiry": {"expireAt": {"timestampValue": "2100-01-01T00:00:00Z"}},
    "a megabyte": {"name": LARGE},
    "a name of the platform's": {"__name__": STRING},
}
TRANSFORMS: dict[str, dict[str, Any]] = {
    "the time": {"setToServerValue": "REQUEST_TIME"},
    "one more": {"increment": {"integerValue": "1"}},
    "the most": {"maximum": {"integerValue": "9"}},
    "an element more": {"appendMissingElements": {"values": [STRING]}},
    "an element less": {"removeAllFromArray": {"values": [STRING]}},
}


def count(of: dict[str, Any]) -> dict[str, Any]:
    return {"structuredAggregationQuery": {**of, "aggregations": [{"alias": "n", "count": {}}]}}


@pytest.fixture
def uid(documents: Documents) -> str:
    return documents.cast.callers["owner"].whose


@pytest.fixture
def token(documents: Documents) -> str | None:
    return documents.cast.callers["owner"].token


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("path", PATHS)
def test_an_owner_writes_nothing_into_what_they_may_read(
    documents: Documents, uid: str, token: str | None, path: str, payload: str
) -> None:
    path, body = path.format(uid=uid), {"fields": PAYLOADS[payload]}
    before, (folder, _, _) = documents.fetch(path), path.rpartition("/")
    answers = [
        documents.request("PATCH", path, token, json=body),
        documents.request("PATCH", path, token, json=body, params={"currentDocument.exists": "true"}),
        documents.request("PATCH", f"{folder}/forged", token, json=body),
        documents.request("POST", folder, token, json=body, params={"documentId": "forged"}),
        documents.request("POST", folder, token, json=body),
    ]
    assert {answer.status_code for answer in answers} <= {400, 403}
    assert payload == "a name of the platform's" or {answer.status_code for answer in answers} == {403}
    assert documents.fetch(path) == before


def update(name: str) -> dict[str, Any]:
    return {"update": {"name": name, "fields": PAYLOADS["a state"]}}


def transform(name: str, change: dict[str, Any]) -> dict[str, Any]:
    return {"transform": {"document": name, "fieldTransforms": [{"fieldPath": "n", **change}]}}


TIME = {"fieldPath": "at", "setToServerValue": "REQUEST_TIME"}
WRITES: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "an update": lambda name: [update(name)],
    "an update of one field": lambda name: [update(name) | {"updateMask": {"fieldPaths": ["state"]}}],
    "an update with a transform": lambda name: [update(name) | {"updateTransforms": [TIME]}],
    "a deletion": lambda name: [{"delete": name}],
    "a deletion, and the same anew": lambda name: [{"delete": name}, update(name)],
    "a new document": lambda name: [update(f"{name}-new") | {"currentDocument": {"exists": False}}],
    "five hundred at once": lambda name: [update(f"{name}-{n}") for n in range(500)],
    **{
        f"a transform: {kind}": lambda name, change=change: [transform(name, change)]
        for kind, change in TRANSFORMS.items()
    },
}


# A document may be in a `batchWrite` once only.
@pytest.mark.parametrize(
    ("method", "kind"),
    [("commit", kind) for kind in WRITES] + [("batchWrite", kind) for kind in WRITES if "anew" not in kind],
)
@pytest.mark.parametrize("path", PATHS)
def test_an_owner_writes_nothing_in_a_batch(
    documents: Documents, uid: str, token: str | None, path: str, kind: str, method: str
) -> None:
    path = path.format(uid=uid)
    before = documents.fetch(path)
    answer = documents.post(f":{method}", {"writes": WRITES[kind](f"{documents.root()}/{path}")}, token)
    assert answer.status_code == 403, answer.text
    assert documents.fetch(path) == before


@pytest.mark.parametrize("path", PATHS)
def test_an_owner_writes_nothing_in_a_transaction(documents: Documents, uid: str, token: str | None, path: str) -> None:
    path = path.format(uid=uid)
    before = documents.fetch(path)
    begun = documents.post(":beginTransaction", {"options": {"readWrite": {}}}, token)
    transaction = {"transaction": begun.json()["transaction"]} if begun.status_code == 200 else {}
    body = {"writes": [update(f"{documents.root()}/{path}")], **transaction}
    assert documents.post(":commit", body, token).status_code == 403
    assert documents.fetch(path) == before


def test_a_batch_with_one_write_that_is_refused_writes_nothing(documents: Documents, token: str | None) -> None:
    """A commit without writes is allowed to everybody: it is the writes that are judged."""
    assert documents.post(":commit", {"writes": []}, token).status_code == 200


@pytest.mark.parametrize(
    ("method", "body"),
    [
        (":batchGet", {"documents": ["users/{other}"]}),
        (":batchGet", {"documents": ["users/{uid}", "users/{other}/images/item-0001"]}),
        (":listCollectionIds", {}),
        ("/users/{uid}:listCollectionIds", {}),
        (":runAggregationQuery", count(query("images", everybodys=True))),
        (":runAggregationQuery", count(query("users"))),
        ("/users/{other}:runAggregationQuery", count(query("images"))),
        ("/users/{uid}:runAggregationQuery", count(query("locks"))),
    ],
)
def test_the_other_methods_that_read_are_no_way_around(
    documents: Documents, uid: str, token: str | None, method: str, body: dict[str, Any]
) -> None:
    other = documents.cast.callers["unverified"].whose
    names = [f"{documents.root()}/{path.format(uid=uid, other=other)}" for path in body.get("documents", [])]
    answer = documents.post(method.format(uid=uid, other=other), body | ({"documents": names} if names else {}), token)
    assert answer.status_code == 403, answer.text
