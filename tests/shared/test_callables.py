from datetime import UTC, datetime, timedelta

import pytest
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError

from astra.callables import Agreed, Shape, caller_of, guarded, parse


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
