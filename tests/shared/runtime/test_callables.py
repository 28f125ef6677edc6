import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from flask import Flask, Response

from astra.runtime import callables
from astra.runtime.callables import Agreed, Call, Shape, caller_of, guarded, parse
from astra.runtime.deployment import Group
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import RedisSettings
from local.demo.client import unsigned_token


class Inner(Shape):
    terms: Agreed


class Form(Shape):
    name: str
    year: int
    inner: Inner


GOOD = {"name": "Ada", "year": 1990, "inner": {"terms": True}}


def refusal(data: object) -> str:
    with pytest.raises(HttpsError) as refused:
        parse(Form, data)
    assert refused.value.code is FunctionsErrorCode.INVALID_ARGUMENT
    return str(refused.value.message)


def test_a_good_request_is_taken() -> None:
    assert parse(Form, GOOD).name == "Ada"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name: Input should be a valid string"),
        ({"year": "1990"}, "year: Input should be a valid integer"),
        ({"year": 1990.5}, "year: Input should be a valid integer"),
        ({"inner": {"terms": False}}, "inner.terms: must be true"),
        ({"inner": {"terms": "true"}}, "inner.terms: Input should be a valid boolean"),
        ({"inner": {"terms": 1}}, "inner.terms: Input should be a valid boolean"),
        ({"inner": {}}, "inner.terms: is required"),
        ({"extra": 1}, "extra: is not a field of this request"),
    ],
)
def test_each_wrong_field_is_named_with_the_reason(change: dict[str, object], message: str) -> None:
    assert refusal(GOOD | change) == message


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_a_request_that_is_no_object_is_refused(data: object) -> None:
    assert refusal(data).startswith("data: ")


def test_neither_a_value_nor_a_strange_name_is_repeated() -> None:
    message = refusal(GOOD | {"year": "canary-value", "canary name <b>": 1, "x" * 200: 1})
    assert "canary" not in message
    assert "xx" not in message


def test_an_unforeseen_exception_leaves_nothing_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def handler() -> None:
        raise ValueError("canary")

    with pytest.raises(HttpsError) as failed:
        handler()
    assert failed.value.code is FunctionsErrorCode.INTERNAL
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    assert "canary" not in str(failed.value.message) + capsys.readouterr().out


NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLAIMS = {"uid": "ada", "auth_time": int(NOW.timestamp()) - 60, "exp": int(NOW.timestamp()) + 3600}


def test_a_caller_is_who_the_claims_say() -> None:
    caller = caller_of(CLAIMS, "token", NOW)
    assert caller is not None
    assert (caller.uid, caller.signed_in_at) == ("ada", NOW - timedelta(seconds=60))


@pytest.mark.parametrize(
    "odd",
    [
        {"exp": int(NOW.timestamp())},
        {"exp": None},
        {"exp": True},
        {"exp": 10**18, "auth_time": 10**17},
        {"exp": 10**400, "auth_time": 10**399},
        {"auth_time": -1},
        {"auth_time": "yesterday"},
        *({"uid": uid} for uid in ("", ".", "..", "__x__", "a/b", "a b", "\ud800", "x" * 129)),
    ],
)
def test_odd_claims_are_nobodys(odd: dict[str, object]) -> None:
    assert caller_of(CLAIMS | odd, "token", NOW) is None


def asked(function: Any, body: bytes, came_from: str, **headers: str) -> Response:
    where = {"X-Forwarded-For": came_from, "Content-Type": "application/json"} | headers
    with Flask("test").test_request_context("/", method="POST", data=body, headers=where) as context:
        answer: Response = function(context.request)
    return answer


@pytest.mark.parametrize("refused", ["no request", "an expired token", "no token at all"])
def test_what_is_refused_before_it_is_anybodys_is_counted_as_its_networks(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr(callables, "_REFUSAL_LIMIT", Limit(2))
    group = Group("test-functions", RedisSettings)
    group.platform = platform

    @callables.on_call(group, Form, Limit(100))
    def function(call: Call[Form]) -> dict[str, Any]:
        return {"uid": call.caller.uid}

    here, elsewhere = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1" for _ in range(2))
    expired = unsigned_token(platform.app.project_id, sub="ada", user_id="ada", exp=1, auth_time=0)
    body, headers, code = {
        "no request": (b"{", {}, 400),
        "an expired token": (json.dumps({"data": GOOD}).encode(), {"Authorization": f"Bearer {expired}"}, 401),
        "no token at all": (json.dumps({"data": GOOD}).encode(), {}, 401),
    }[refused]
    answers = [asked(function, body, here, **headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [code, code, 429]
    error = answers[-1].get_json()["error"]
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert answers[-1].headers["Retry-After"] == str(error["details"]["retryAfterSeconds"])
    assert asked(function, body, elsewhere, **headers).status_code == code
    # Who is signed in is counted by themselves, whatever comes from the same network.
    valid = unsigned_token(platform.app.project_id, sub="ada", user_id="ada")
    good = asked(function, json.dumps({"data": GOOD}).encode(), here, Authorization=f"Bearer {valid}")
    assert good.get_json() == {"result": {"uid": "ada"}}
