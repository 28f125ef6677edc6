"""Signing up and in through Auth's own REST API, with the deployed functions in the way."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from astra.runtime.platform import Platform
from local.client import CallError, Client, Person
from local.scan import scan
from local.stack import Stack
from local.telling import wait_for
from tests.journeys.test_bad_input import refusal

CANARY = "203.0.113.77"
"""An address of documentation (RFC 5737), that no test but those here calls from."""
HOME = "127.0.0.1"
"""Where Auth's emulator says that everybody is."""


def sign_in(client: Client, person: Person) -> Person:
    return client.sign_in(person.email, person.password)


def federated(stack: Stack, email: str) -> dict[str, Any]:
    """Signs in with what Auth's emulator takes for a Google account of that address."""
    claims = {"sub": secrets.token_hex(8), "email": email, "email_verified": True, "iss": "", "aud": ""}
    body = {
        "postBody": f"id_token={json.dumps(claims)}&providerId=google.com",
        "requestUri": "http://localhost",
        "returnSecureToken": True,
        "returnIdpCredential": True,
    }
    url = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/accounts:signInWithIdp"
    answer: dict[str, Any] = httpx.post(url, params={"key": "any"}, json=body, timeout=30).json()
    return answer


# Nobody gets around the enrolment


def test_one_enrolment_makes_one_account(client: Client) -> None:
    first = client.join()
    error = refusal(lambda: client.sign_up(f"x{first.email}", "correct horse"))
    assert "Start the sign-up first" in error.message


@pytest.mark.parametrize(
    ("enrolled", "used"),
    [
        ("{id}@example.com", "{id}+tag@example.com"),
        ("{id}+tag@example.com", "{id}@example.com"),
        ("{id}a@example.com", "{id}\u0430@example.com"),
        ("{id}.a@example.com", "{id}a@example.com"),
        ("{id}@example.com", "{id}@example.com.example"),
    ],
    ids=["plus", "no plus", "homoglyph", "dot", "longer"],
)
def test_the_enrolment_of_one_address_is_none_of_another(client: Client, enrolled: str, used: str) -> None:
    name = secrets.token_hex(8)
    client.enrol(enrolled.replace("{id}", name))
    error = refusal(lambda: client.sign_up(used.replace("{id}", name), "correct horse"))
    assert "Start the sign-up first" in error.message


def test_upper_and_lower_case_are_one_address_and_one_account(client: Client, platform: Platform[Any]) -> None:
    name = secrets.token_hex(8)
    client.enrol(f"{name.upper()}@Example.COM")
    person = client.sign_up(f"{name}@example.com", "correct horse")
    assert platform.db.document(f"users/{person.uid}").get().exists
    client.enrol(f"{name}@example.com")
    assert "EMAIL_EXISTS" in refusal(lambda: client.sign_up(f"{name.upper()}@example.com", "correct horse")).message


def test_another_providers_account_needs_an_enrolment_too(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    assert "Start the sign-up first" in federated(stack, email)["error"]["message"]
    assert scan(stack, {"address": email.encode()}) == []
    client.enrol(email)
    person = federated(stack, email)
    assert platform.db.document(f"users/{person['localId']}/consents/terms").get().exists


def test_the_answer_does_not_tell_whether_an_address_has_an_account(client: Client) -> None:
    known, unknown = client.join().email, f"{secrets.token_hex(8)}@example.com"
    assert client.enrol(known).keys() == client.enrol(unknown).keys()
    assert client.call("send_code", {"email": known}) == client.call("send_code", {"email": unknown}) == {}
    wrong = [refusal(lambda: client.call("unlock", {"email": e, "code": "12345678"})) for e in (known, unknown)]  # noqa: B023
    assert len({(error.code, error.status, error.message) for error in wrong}) == 1


# The lock, and the way back in


@pytest.fixture
def away(stack: Stack) -> Iterator[Client]:
    """A browser in a network of its own."""
    with Client(stack, f"198.51.100.{secrets.randbelow(256)}") as client:
        yield client


def test_a_locked_account_opens_from_its_network_and_by_a_code_from_the_mailbox(
    stack: Stack, client: Client, away: Client
) -> None:
    ada = client.join()
    away.call("set_ip_lock", {"enabled": True}, ada.token)
    assert "locked to another network" in refusal(lambda: sign_in(client, ada)).message
    with Client(stack, HOME) as home:
        home.call("send_code", {"email": ada.email})
        letter = wait_for(
            "the letter", lambda: next((m for m in stack.mail.messages if ada.email in m.recipients), None)
        )
        [code] = re.findall(r"\b\d{8}\b", letter.message.get_content())
        home.call("unlock", {"email": ada.email, "code": code})
    sign_in(client, ada)
    client.call("set_ip_lock", {"enabled": False}, ada.token)
    sign_in(client, ada)


def test_a_policy_not_accepted_after_its_grace_keeps_out_until_it_is(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    platform.db.document(f"users/{ada.uid}").update({"policyVersion": "2020-01-01"})
    assert "read version 2025-08-02" in refusal(lambda: sign_in(client, ada)).message
    client.call("accept_policy", {"policyVersion": "2025-08-02"}, ada.token)
    sign_in(client, ada)


def test_a_changed_address_reaches_the_profile_at_the_next_sign_in(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada, email = client.join(), f"{secrets.token_hex(8)}@example.com"
    url = f"{stack.auth_url}/identitytoolkit.googleapis.com/v1/accounts:update"
    body = {"idToken": ada.token, "email": email, "returnSecureToken": True}
    httpx.post(url, params={"key": "any"}, json=body, timeout=30).raise_for_status()
    client.sign_in(email, ada.password)
    assert platform.db.document(f"users/{ada.uid}").get().get("email") == email


def test_what_a_person_may_change_they_see_changed(client: Client) -> None:
    ada = client.join()
    client.call("update_profile", {"name": "Ada King", "jurisdiction": "US-NY"}, ada.token)
    fields = client.document(f"users/{ada.uid}", ada.token).json()["fields"]
    assert (fields["name"]["stringValue"], fields["jurisdiction"]["stringValue"]) == ("Ada King", "US-NY")


@pytest.mark.parametrize("function", ["update_profile", "accept_policy", "set_ip_lock"])
def test_without_signing_in_nothing_is_changed(client: Client, function: str) -> None:
    form = {"update_profile": {"name": "x"}, "accept_policy": {"policyVersion": "x"}, "set_ip_lock": {"enabled": True}}
    assert refusal(lambda: client.call(function, form[function])).status == "UNAUTHENTICATED"


# Addresses


def test_an_address_is_in_no_store_and_no_log_unless_a_lock_asks_for_it(stack: Stack, platform: Platform[Any]) -> None:
    with Client(stack, CANARY) as client:
        ada = client.join()
        client.call("send_code", {"email": ada.email})
        for function, form in (("update_profile", {"name": "Ada King"}), ("set_ip_lock", {"enabled": False})):
            client.call(function, form, ada.token)
        with pytest.raises(CallError):
            client.call("unlock", {"email": ada.email, "code": "00000000"})
        with pytest.raises(CallError):
            client.enrol("nobody@example.com", name="")
        client.open("no-such-image", ada.token)
        for _ in range(61):  # refused, too
            httpx.post(
                stack.function_url("receipt"), json={"data": {}}, headers={"X-Forwarded-For": CANARY}, timeout=30
            )
        needles = {"address": CANARY.encode(), "network": b"203.0.113.0"}
        assert scan(stack, needles) == []
        client.call("set_ip_lock", {"enabled": True}, ada.token)
        assert scan(stack, needles) == [], "what a lock keeps is a keyed hash"
        client.call("set_ip_lock", {"enabled": False}, ada.token)
        kept = platform.pseudonyms.of_network(ada.uid, "203.0.113.0/24")
        assert scan(stack, {"hash": kept.encode()}) == []


def test_what_the_client_claims_of_its_address_is_not_believed(stack: Stack, client: Client) -> None:
    ada = client.join()
    with Client(stack, f"{HOME}, 198.51.100.9") as forger:
        forger.call("set_ip_lock", {"enabled": True}, ada.token)
    assert "locked to another network" in refusal(lambda: sign_in(client, ada)).message
