"""Every callable of every codebase, served as in production, gets requests at random: none is ever answered with a
5xx, a trace of the code, or its own text.

A thousand in all with the other tests, always the same; `FUZZ_REQUESTS=10000`, as `make soak` sets it, makes it more,
and others each time.
"""

import ast
import http.client
import importlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import firebase_admin
import pytest
from firebase_admin import auth
from google.cloud import firestore
from hypothesis import HealthCheck, given, settings

from astra import policies
from cli import policies as policies_command
from local.paths import ROOT
from local.stack.served import Served, serving
from local.stack.stack import Stack
from tests.journeys.hostile import CANARY, Request, requests
from tests.support.code import imported_as

PROJECT = "demo-fuzz"  # a project of its own: whom these requests erase nobody else has met
MANY = int(os.environ.get("FUZZ_REQUESTS", "1000"))
# As many that no one of them is told to come back later, however fast the machine.
PEOPLE = tuple(secrets.token_hex(10) for _ in range(MANY // 10))
STATUSES = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
}
# The project of these requests has no queue, and this callable must say that no letter will come.
WITHOUT_QUEUE = {"send_code": 503}


# They ask for so much that hardly anything at random is all of it: tests/deployment/test_served.py reaches them.
SELDOM_VALID = {"place_hold", "record_disclosure", "register_processor", "publish_policy", "plan_transfer"}
SELDOM_VALID |= {"preview_campaign", "report_incident", "confirm_incident", "delay_notice", "tell_regulator"}
NOW = datetime.now(UTC)
PROFILE = {
    "state": "active",
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "createdAt": NOW,
    "policyVersion": policies.FIRST,
    "ipLock": False,
    "jurisdiction": None,
}


class Callable(NamedTuple):
    """A callable as its codebase's main.py declares it."""

    source: Path
    name: str
    shape: str


def callables() -> list[Callable]:
    """Every function of every main.py that is decorated with `callables.on_call`, and what it asks for."""
    return [
        Callable(source, node.name, ast.unparse(decorator.args[1]))
        for source in sorted((ROOT / "functions").glob("*/main.py"))
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "callables.on_call"
    ]


ALL = callables()


def schema_of(declared: Callable) -> dict[str, Any]:
    """The JSON Schema of its requests. The shape is named as main.py names it: `module.Shape`, or imported."""
    named = imported_as(ast.parse(declared.source.read_text(encoding="utf-8")))
    home, _, shape = declared.shape.rpartition(".")
    module = named[home] if home else named[shape].rpartition(".")[0]
    schema: dict[str, Any] = getattr(importlib.import_module(module), shape).model_json_schema()
    return schema


@pytest.fixture(scope="module")
def served(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    config = {"projectId": PROJECT, "storageBucket": f"{PROJECT}.appspot.com"}
    environment = stack.environment() | {
        "FIREBASE_CONFIG": json.dumps(config),
        "GCLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
    }
    db = firestore.Client(project=PROJECT)
    policies_command.publish_first(db)
    security = policies.current(db, NOW, policies.SECURITY)
    member = {"role": "cto", "policyVersion": security.version, "policySha256": security.sha256, "since": NOW}
    app = firebase_admin.initialize_app(options={"projectId": PROJECT}, name=PROJECT)
    for first in range(0, len(PEOPLE), 250):
        batch = db.batch()
        for uid in PEOPLE[first : first + 250]:
            batch.set(db.document(f"users/{uid}"), PROFILE)
            batch.set(db.document(f"staff/{uid}"), member)
        batch.commit()
        records = [auth.ImportUserRecord(uid) for uid in PEOPLE[first : first + 250]]
        assert auth.import_users(records, app=app).failure_count == 0
    functions = [(one.source, one.name) for one in ALL]
    with serving(functions, environment, tmp_path_factory.mktemp("served")) as running:
        yield running
    firebase_admin.delete_app(app)


def answer(served: Served, request: Request) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)) as connection:
        connection.request(request.method, "/", request.body, request.headers)
        answered = connection.getresponse()
        return answered.status, answered.read()


def test_all_callables_are_found() -> None:
    declared = sum(main.read_text().count("callables.on_call(") for main in (ROOT / "functions").glob("*/main.py"))
    assert len(ALL) == declared >= 5


@pytest.mark.timeout(0)
@pytest.mark.parametrize("declared", ALL, ids=[one.name for one in ALL])
def test_whatever_is_sent_the_answer_is_a_proper_one(served: dict[str, Served], declared: Callable) -> None:
    function = served[declared.name]
    met: set[str] = set()

    @settings(
        max_examples=max(100, MANY // len(ALL)),
        derandomize="FUZZ_REQUESTS" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(schema_of(declared), PROJECT, PEOPLE))
    def check(request: Request) -> None:
        code, body = answer(function, request)
        assert code < 500 or code == WITHOUT_QUEUE.get(declared.name), body
        assert CANARY.encode() not in body
        assert b"Traceback" not in body
        assert b".py" not in body
        if request.method == "POST":
            told = json.loads(body)
            assert set(told) in ({"result"}, {"error"})
            status = told["error"]["status"] if "error" in told else "OK"
            met.add(status)
            assert STATUSES.get(status, WITHOUT_QUEUE.get(declared.name)) == code
            assert status == "OK" or told["error"]["message"]

    check()
    reached = met - {"INVALID_ARGUMENT", "UNAUTHENTICATED"}
    assert reached or declared.name in SELDOM_VALID, "the handler was never reached: mend the strategies"
    printed = function.log.read_text(errors="replace")
    assert CANARY not in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("form", ['{"data": %s}', '{"data": {}, "more": %s}'])
def test_no_depth_of_nesting_is_one_too_many(served: dict[str, Served], form: str) -> None:
    """Somewhere below Python's limit one who reads the body succeeds, and the next one, deeper in calls, does not."""
    for depth in range(700, 1_000):
        body = (form % ("[" * depth + "]" * depth)).encode()
        code, _ = answer(served["receipt"], Request("POST", {"Content-Type": "application/json"}, body))
        assert code == 400, depth
