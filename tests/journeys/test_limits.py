"""How often anybody may ask, over HTTP, as a client sees it."""

import ast
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.demo.client import Client, Person
from local.stack.stack import Stack
from tests.support import code


def until_refused(ask: Callable[[], httpx.Response], most: int) -> httpx.Response:
    """The first answer that tells to come back later; there must be one among the first `most` and one."""
    for _ in range(most + 1):
        if (answer := ask()).status_code == httpx.codes.TOO_MANY_REQUESTS:
            return answer
    pytest.fail("nobody is ever refused")


def asking(stack: Stack, function: str, data: Any, address: str, token: str = "") -> Callable[[], httpx.Response]:
    headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {token}"} if token else {})
    return lambda: httpx.post(stack.function_url(function), json={"data": data}, headers=headers, timeout=60)


def an_address() -> str:
    """Of documentation (RFC 3849): nobody else's, so that another test's requests don't count."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def test_a_network_that_asks_too_often_is_told_when_to_come_back(stack: Stack) -> None:
    ask = asking(stack, "receipt", {"receipt": "nobody's"}, address := an_address())
    refused = until_refused(ask, 120)
    error, seconds = refused.json()["error"], int(refused.headers["Retry-After"])
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert error["details"] == {"retryAfterSeconds": seconds}
    assert f"try again in {seconds} s" in error["message"]
    assert 1 <= seconds <= 60
    # What the client says of itself changes nothing; another network has a count of its own.
    assert asking(stack, "receipt", {"receipt": "nobody's"}, f"203.0.113.9, {address}")().status_code == 429
    assert asking(stack, "receipt", {"receipt": "nobody's"}, f"{address}, {an_address()}")().status_code == 404


def test_a_user_is_counted_wherever_they_call_from(stack: Stack, client: Client) -> None:
    ada, grace = client.join(), client.join()

    def delete(person: Person) -> httpx.Response:
        item = {"kind": "event", "id": "event-0001"}
        return asking(stack, "delete_item", item, an_address(), person.token)()

    until_refused(lambda: delete(ada), 120)
    assert delete(grace).status_code == 200


def test_no_function_that_is_called_over_http_is_without_a_limit() -> None:
    # Callables can't be declared without one; an HTTPS function counts by itself.
    https = {
        (codebase, node.name)
        for codebase, (main, *_) in code.CODEBASES.items()
        for node in ast.parse(main.read_text()).body
        if isinstance(node, ast.FunctionDef) and "on_request(" in "".join(map(ast.unparse, node.decorator_list))
    }
    assert https
    for codebase, name in https:
        assert any(repr(name) in ast.unparse(call) for call in counts(codebase)), name


def counts(codebase: str) -> list[ast.Call]:
    """Calls of the limiter in a codebase."""
    trees = [ast.parse(source.read_text()) for source in code.CODEBASES[codebase]]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).startswith("platform.limits.")]
