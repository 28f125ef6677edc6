"""Which events are taken. There must be no place for a word of anybody's own."""

import json
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra.runtime.callables import parse
from usage.events import NAMES, Batch, LogEvent

CANARY = "ada.canary@example.com"


def refusal(data: object) -> str:
    with pytest.raises(HttpsError) as refused:
        parse(LogEvent, data)
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    message = str(refused.value.message)
    assert "canary" not in message
    return message


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_the_list_is_taken_alone_and_with_others(name: str) -> None:
    assert parse(LogEvent, {"event": name}).root.event == name  # type: ignore[union-attr]
    assert parse(LogEvent, {"events": [{"event": name, "props": {}}]}).root.events[0].event == name  # type: ignore[union-attr]


def test_a_batch_is_at_most_a_hundred() -> None:
    batch = parse(LogEvent, {"events": [{"event": "app_opened"}] * 100}).root
    assert isinstance(batch, Batch)
    assert len(batch.events) == 100


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"event": CANARY}, "data: event must be one of app_opened, page_viewed"),
        ({"event": ["app_opened"]}, "data: event must be one of"),
        ({"events": [{"event": CANARY}]}, "batch.events.0: event must be one of"),
        ({"props": {}}, "data: event must be one of"),
        (None, "data: event must be one of"),
        ({"events": []}, "batch.events: List should have at least 1 item"),
        ({"events": [{"event": "app_opened"}] * 101}, "batch.events: List should have at most 100 items"),
        ({"events": {}}, "batch.events: Input should be a valid list"),
        ({"event": "app_opened", "events": [{"event": "app_opened"}]}, "batch.event: is not a field"),
        ({"event": "app_opened", "userAgent": CANARY}, "app_opened.userAgent: is not a field"),
        ({"event": "app_opened", "props": {"note": CANARY}}, "app_opened.props.note: is not a field"),
        ({"event": "page_viewed", "props": {"page": CANARY}}, "page_viewed.props.page: Input should be 'home', "),
        ({"event": "page_viewed", "props": {"page": {"page": "home"}}}, "page_viewed.props.page: "),
        ({"event": "page_viewed", "props": {"seconds": "12"}}, "page_viewed.props.seconds: "),
        ({"event": "page_viewed", "props": {"seconds": 86_401}}, "page_viewed.props.seconds: "),
        ({"event": "page_viewed", "props": {"seconds": 10**400}}, "page_viewed.props.seconds: "),
        ({"event": "page_viewed", "props": {"seconds": -1}}, "page_viewed.props.seconds: "),
        ({"event": "page_viewed", "props": {"seconds": 1.5}}, "page_viewed.props.seconds: "),
        ({"event": "page_viewed", "props": {"seconds": float("nan")}}, "page_viewed.props.seconds: "),
        ({"event": "page_viewed", "props": {"seconds": True}}, "page_viewed.props.seconds: "),
        ({"event": "image_uploaded", "props": {"camera": 1}}, "image_uploaded.props.camera: "),
        ({"event": "page_viewed", "props": [CANARY]}, "page_viewed.props: "),
        ({"event": "app_opened", "at": "2026-11-24"}, "app_opened.at: "),
        ({"event": "app_opened", "at": 10**18}, "app_opened.at: "),
        ({"event": "app_opened", "id": "short"}, "app_opened.id: String should match pattern"),
        ({"event": "app_opened", "id": "../../../x"}, "app_opened.id: "),
        ({"event": "app_opened", "id": "__reserved__"}, "app_opened.id: "),
        ({"event": "app_opened", "id": "x" * 65}, "app_opened.id: "),
        ({"events": [{"event": "app_opened", "id": "one-of-them"}]}, "batch.events: the request has an id"),
    ],
)
def test_what_is_not_in_the_list_is_refused_and_not_repeated(data: Any, message: str) -> None:
    assert refusal(data).startswith(message)


def test_no_property_of_any_event_holds_free_text() -> None:
    """In the schema every piece of text is one of a list, but for a request's id."""

    def texts(schema: Any, path: str) -> list[str]:
        if isinstance(schema, list):
            return [found for item in schema for found in texts(item, path)]
        if not isinstance(schema, dict):
            return []
        free = schema.get("type") == "string" and "enum" not in schema and "const" not in schema
        return [path] * free + [found for name, item in schema.items() for found in texts(item, f"{path}/{name}")]

    schema = LogEvent.model_json_schema()
    assert len(texts(json.loads('{"a": {"type": "string"}}'), "")) == 1, "the search would find one"
    assert {path.partition("/properties/")[2] for path in texts(schema, "")} == {"id/anyOf"}
