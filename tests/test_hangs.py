"""Nothing waits for ever: no stream of gRPC is left open, and no child runs without a time-out."""

import ast
import gc
import secrets
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.cloud import firestore

from astra.runtime import documents
from erasure import descendants
from local.paths import ROOT
from notices.cohort import Everybody
from tests.test_repository import TEXT

_PYTHON = [path for path in TEXT if path.suffix == ".py"]
#: What opens a stream of Firestore's answers, by the client's layers. `get` of a query or a count reads its own whole.
_OPENS = {
    "stream",
    "get_all",
    "run_query",
    "run_aggregation_query",
    "batch_get_documents",
    "execute_pipeline",
    "on_snapshot",
}
#: httpx's own stream is a context; tests patch the classes.
_OTHERS = {"httpx", "FirestoreClient", "firestore.Client"}
_READS_WHOLE = ROOT / "shared/astra/runtime/documents.py"


def streams(tree: ast.AST) -> Iterator[int]:
    """Lines that open a stream."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of = ast.unparse(node.value)
            within = node.attr == "get" and of.rpartition(".")[2] == "transaction"
            if within or (node.attr in _OPENS and of not in _OTHERS):
                yield node.lineno


def endless(tree: ast.AST) -> Iterator[int]:
    """Lines that run a child without a time-out."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        if ast.unparse(call.func) == "subprocess.run" and "timeout" not in {word.arg for word in call.keywords}:
            yield call.lineno


@pytest.mark.parametrize("path", _PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_what_reads_a_stream_whole_opens_one(path: Any) -> None:
    assert path == _READS_WHOLE or list(streams(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_local_stack_runs_no_child_without_a_timeout() -> None:
    """Benchmarks have theirs in `bench.apart`, and tests in pytest."""
    ours = [path for path in _PYTHON if path.relative_to(ROOT).parts[0] not in ("bench", "tests")]
    assert [str(path) for path in ours if list(endless(ast.parse(path.read_text(encoding="utf-8"))))] == []


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("any(query.stream())", True),
        ("next(query.limit(1).stream(transaction=transaction), None)", True),
        ("map(db.get_all, pages)", True),
        ("db._firestore_api.run_query(request=request)", True),
        ("transaction.get(query)", True),
        ("act.transaction.get(query)", True),
        ("query.get(transaction=transaction)", False),
        ("httpx.stream('GET', url)", False),
    ],
)
def test_a_stream_would_be_found(code: str, is_found: bool) -> None:
    assert bool(list(streams(ast.parse(code)))) is is_found


def test_a_child_without_a_timeout_would_be_found() -> None:
    assert list(endless(ast.parse("subprocess.run(command, check=True)")))
    assert not list(endless(ast.parse("subprocess.run(command, timeout=1)")))


def left_open() -> int:
    """Return how many calls of gRPC are under way."""
    gc.collect()
    return sum(1 for found in gc.get_objects() if isinstance(found, grpc.RpcContext) and found.is_active())


@pytest.fixture
def many(platform: Any) -> firestore.DocumentReference:
    """A document with 1,200 below it."""
    root: firestore.DocumentReference = platform.db.document("users", f"many-{secrets.token_hex(8)}")
    for first in range(0, 1200, 400):
        batch = platform.db.batch()
        for number in range(first, first + 400):
            batch.set(root.collection("events").document(f"{number:04}"), {"at": number, "text": "x" * 500})
        batch.commit()
    return root


def test_a_reader_that_stops_half_way_leaves_no_stream_open(platform: Any, many: firestore.DocumentReference) -> None:
    """As one whose time is up does."""
    before = left_open()
    below = descendants.below(platform.db, many.path)
    assert next(below) == f"{many.path}/events/0000"
    for number in range(40):
        platform.db.document("users", f"{many.id}-{number:02}").set({"createdAt": platform.clock(), "state": "active"})
    cohort = Everybody(platform, platform.clock())
    cohort.prepare({"cursor": many.id, "end": None}, 2)
    assert cohort._ahead
    deadline = time.monotonic() + 30  # what was cancelled ends in a thread of gRPC's
    while left_open() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_open() <= before
    assert len([*below]) == 1199


def test_a_read_that_raises_half_way_leaves_no_stream_open(platform: Any, many: firestore.DocumentReference) -> None:
    before, rows = left_open(), many.collection("events").order_by("at")

    def once(_: Any) -> None:
        raise LookupError("at the first")

    with pytest.raises(LookupError) as whole:
        documents.read(rows, once)
    with pytest.raises(LookupError) as plain:
        documents.read_plain(platform.db, rows._to_protobuf(), once, many.path)
    assert left_open() <= before, (whole, plain)


def test_documents_are_read_whole(platform: Any, many: firestore.DocumentReference) -> None:
    rows = many.collection("events").where(filter=firestore.FieldFilter("at", "<", 3)).order_by("at")
    assert documents.read(rows, lambda row: row.id) == ["0000", "0001", "0002"]
    assert documents.read_plain(platform.db, rows._to_protobuf(), lambda row: row.name[-4:], many.path) == [
        "0000",
        "0001",
        "0002",
    ]
    first, missing = rows._parent.document("0000"), rows._parent.document("none")
    held, absent = documents.fetch(platform.db, first, missing, fields=["at"])
    assert (held.to_dict(), absent.exists) == ({"at": 0}, False)
