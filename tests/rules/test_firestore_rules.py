"""Who reaches what in Firestore, asked of the real rules engine through the clients' protocol."""

from typing import Any

import httpx
import pytest

from astra.datamap import DATA_MAP
from astra.entries import Store
from astra.platform import Platform
from local.client import Client, Person
from local.stack import Stack

WHO = ("anonymous", "owner", "other", "erasing")
OPERATIONS = ("get", "list", "create", "update", "delete")
READABLE_BY_OWNER = {"profile": {"get"}} | {name: {"get", "list"} for name in ("consents", "image-records", "notices")}
DOCUMENTS = [entry for entry in DATA_MAP if entry.store in (Store.FIRESTORE, Store.VAULT)]
BODY = {"fields": {"state": {"stringValue": "active"}, "note": {"stringValue": "mine"}}}


class People:
    """Ada, whose data it is; Bob; and Eve, whose erasure has begun."""

    def __init__(self, stack: Stack) -> None:
        with Client(stack) as client:
            self.ada, self.bob, self.eve = client.join(), client.join(), client.join()

    def acting(self, who: str) -> tuple[Person, str | None]:
        """Whose data is reached for, and with which token."""
        return {
            "anonymous": (self.ada, None),
            "owner": (self.ada, self.ada.token),
            "other": (self.ada, self.bob.token),
            "erasing": (self.eve, self.eve.token),
        }[who]


@pytest.fixture(scope="module")
def people(stack: Stack) -> People:
    return People(stack)


def allowed(stack: Stack, operation: str, path: str, token: str | None, database: str = "(default)") -> bool:
    base = f"{stack.firestore_url}/v1/projects/{stack.project}/databases/{database}/documents"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    parent, _, name = path.rpartition("/")
    method, url, params, body = {
        "get": ("GET", f"{base}/{path}", {}, None),
        "list": ("GET", f"{base}/{parent}", {}, None),
        "create": ("POST", f"{base}/{parent}", {"documentId": name + "-new"}, BODY),
        "update": ("PATCH", f"{base}/{path}", {"updateMask.fieldPaths": "note"}, BODY),
        "delete": ("DELETE", f"{base}/{path}", {}, None),
    }[operation]
    answer = httpx.request(method, url, params=params, json=body, headers=headers, timeout=30)
    assert answer.status_code in (200, 403), answer.text
    return answer.status_code == 200


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("entry", DOCUMENTS, ids=[entry.name for entry in DOCUMENTS])
def test_every_place_of_the_data_map(
    stack: Stack, platform: Platform[Any], people: People, entry: Any, who: str, operation: str
) -> None:
    person, token = people.acting(who)
    path = entry.where
    pseudonyms = {
        "email": platform.pseudonyms.of_email(person.email),
        "subject": platform.pseudonyms.of_uid(person.uid),
    }
    for name, value in (pseudonyms | {"uid": person.uid, "item": "terms"}).items():
        path = path.replace("{" + name + "}", value)
    db = platform.vault_db if entry.store is Store.VAULT else platform.db
    database = "vault" if entry.store is Store.VAULT else "(default)"
    state = "erasing" if who == "erasing" else "active"
    platform.db.document(f"users/{person.uid}").set({"state": state}, merge=True)
    if entry.name not in ("tombstone", "vault-tombstone", "erasure"):  # theirs would end the account
        db.document(path).set({"state": state}, merge=True)
    expected = who == "owner" and operation in READABLE_BY_OWNER.get(entry.name, set())
    assert allowed(stack, operation, path, token, database) == expected


@pytest.mark.parametrize("who", WHO)
def test_the_policy_is_public_and_nobodys_to_change(stack: Stack, people: People, who: str) -> None:
    _, token = people.acting(who)
    path = "policies/2025-08-02"
    assert [operation for operation in OPERATIONS if allowed(stack, operation, path, token)] == ["get", "list"]


@pytest.mark.parametrize("who", WHO)
def test_the_security_policy_is_read_by_who_is_signed_in(stack: Stack, people: People, who: str) -> None:
    _, token = people.acting(who)
    path = "securityPolicies/security-2025-07-15"
    allows = [operation for operation in OPERATIONS if allowed(stack, operation, path, token)]
    assert allows == ([] if who == "anonymous" else ["get", "list"])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("path", ["processors/Firebase", "reviews/2027", "findings/x", "staff/{uid}", "removals/{uid}"])
def test_the_registers_are_no_clients_to_reach(stack: Stack, people: People, path: str, operation: str) -> None:
    assert not allowed(stack, operation, path.replace("{uid}", people.ada.uid), people.ada.token)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "path", ["unheard-of/x", "users/{uid}/unheard-of/x", "users/{uid}/images/x/deeper/y", "policies/x/deeper/y"]
)
def test_what_no_rule_names_is_denied(stack: Stack, people: People, path: str, operation: str) -> None:
    assert not allowed(stack, operation, path.replace("{uid}", people.ada.uid), people.ada.token)


@pytest.mark.parametrize("path", ["users/{uid}", "policies/2025-08-02", "users/{uid}/images/x"])
def test_another_database_is_closed_whatever_its_paths_are_called(
    stack: Stack, platform: Platform[Any], people: People, path: str
) -> None:
    path = path.replace("{uid}", people.ada.uid)
    document = platform.vault_db.document(path)
    document.set({"state": "active"})
    try:
        assert not any(allowed(stack, operation, path, people.ada.token, "vault") for operation in OPERATIONS)
    finally:
        document.delete()


@pytest.mark.parametrize("collection", ["users", "images", "consents", "objects", "keys"])
def test_a_collection_group_query_finds_nobody(stack: Stack, people: People, collection: str) -> None:
    base = f"{stack.firestore_url}/v1/projects/{stack.project}/databases/(default)/documents:runQuery"
    query = {"structuredQuery": {"from": [{"collectionId": collection, "allDescendants": True}]}}
    answer = httpx.post(base, json=query, headers={"Authorization": f"Bearer {people.ada.token}"}, timeout=30)
    assert answer.status_code == 403, answer.text
