"""The usage log as a browser fills it, through the deployed function: what is kept, and what is nowhere."""

import secrets
from typing import Any

import httpx
import pytest

from astra.runtime.platform import Platform
from local.client import CallError, Client, Person
from local.scan import scan
from local.stack import Stack
from local.telling import wait_for

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
PHONE = f"Mozilla/5.0 (Linux; Android 14; {{}}) {WEBKIT} Chrome/123.0.0.0 Mobile Safari/537.36"


def post(stack: Stack, person: Person, data: Any, user_agent: bytes, address: str) -> httpx.Response:
    headers = {b"Authorization": f"Bearer {person.token}".encode(), b"User-Agent": user_agent}
    headers |= {b"X-Forwarded-For": address.encode()}
    return httpx.post(stack.function_url("log_event"), json={"data": data}, headers=headers, timeout=60)


def stored(platform: Platform[Any], person: Person) -> list[dict[str, Any]]:
    return [found.to_dict() or {} for found in platform.db.collection("users", person.uid, "events").get()]


def test_neither_the_user_agent_nor_the_address_is_in_any_store_or_log(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada, model, address = client.join(), f"Canary{secrets.token_hex(6)}", f"2001:db8:{secrets.token_hex(2)}::77:1"
    data = {"event": "page_viewed", "props": {"page": "gallery"}}
    answer = post(stack, ada, data, PHONE.format(model).encode(), address)
    assert answer.json() == {"result": {}}
    [fields] = stored(platform, ada)
    assert (fields["device"], fields["browser"], fields["browserMajor"]) == ("phone", "Chrome Mobile", 123)
    assert (fields["event"], fields["props"]) == ("page_viewed", {"page": "gallery"})
    # Refused ones leave no more behind.
    assert post(stack, ada, {"event": model}, model.encode(), address).status_code == 400
    assert scan(stack, {"user agent": model.encode(), "address": address.encode()}) == []


@pytest.mark.parametrize("user_agent", [b"", b"x" * 10_000, b"Mozilla/5.0 (" * 700, bytes(range(0x80, 0x100)) * 40])
def test_an_empty_or_an_endless_user_agent_is_one_that_says_nothing(
    stack: Stack, client: Client, platform: Platform[Any], user_agent: bytes
) -> None:
    ada = client.join()
    assert post(stack, ada, {"event": "app_opened"}, user_agent, "198.51.100.9").json() == {"result": {}}
    [fields] = stored(platform, ada)
    assert (fields["device"], fields["browser"], fields["browserMajor"]) == ("other", "Other", None)


def test_an_event_is_deleted_by_its_owner_by_the_id_that_the_client_made(
    client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    for name in ("kept-0001", "gone-0001"):
        client.call("log_event", {"event": "app_opened", "id": name}, ada.token)
    assert client.call("delete_item", {"kind": "event", "id": "gone-0001"}, ada.token) == {}
    assert [found.id for found in platform.db.collection("users", ada.uid, "events").get()] == ["kept-0001"]


def test_what_a_browser_logs_in_a_minute_is_there_in_two_documents(
    stack: Stack, client: Client, platform: Platform[Any]
) -> None:
    ada = client.join()
    for seconds in range(10):
        client.call("log_event", {"event": "page_viewed", "props": {"seconds": seconds}}, ada.token)
    stack.fire("flush")
    found = stored(platform, ada)
    events = [event for fields in found for event in fields.get("events", [fields])]
    assert sorted(event["props"]["seconds"] for event in events) == list(range(10))
    # Three if the minute ended between two of them, or the timer came between.
    assert len(found) < len(events)


def test_who_logs_too_often_is_told_when_to_come_back(stack: Stack, client: Client) -> None:
    ada = client.join()
    for _ in range(2 * 120 + 2):  # the minute may end on the way
        answer = post(stack, ada, {"event": "app_opened"}, b"", "198.51.100.9")
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            break
    assert answer.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 60
    assert answer.json()["error"]["details"] == {"retryAfterSeconds": seconds}
    # What is no event is refused as such only as long as it may be asked.
    assert post(stack, ada, {"event": "nothing"}, b"", "198.51.100.9").status_code == httpx.codes.BAD_REQUEST


def test_who_is_not_signed_in_or_is_leaving_logs_nothing(client: Client, platform: Platform[Any]) -> None:
    ada = client.join()
    with pytest.raises(CallError) as refused:
        client.call("log_event", {"event": "app_opened"})
    assert refused.value.status == "UNAUTHENTICATED"
    client.call("log_event", {"event": "app_opened"}, ada.token)
    client.call("delete_account", {"confirm": True}, ada.token)
    for _ in range(3):
        with pytest.raises(CallError) as refused:
            client.call("log_event", {"event": "app_opened"}, ada.token)
        assert refused.value.status == "PERMISSION_DENIED"
    wait_for("nothing to be left", lambda: stored(platform, ada) == [] or None)
    assert not list(platform.redis.scan_iter(f"user:{{{ada.uid}}}:events*"))


def test_an_unknown_event_is_told_which_there_are(client: Client) -> None:
    ada = client.join()
    with pytest.raises(CallError) as refused:
        client.call("log_event", {"event": "canary"}, ada.token)
    assert refused.value.status == "INVALID_ARGUMENT"
    assert "page_viewed" in refused.value.message
    assert "canary" not in refused.value.message
