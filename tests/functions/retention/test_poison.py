"""What can't be deleted delays nobody: it is logged, stays, and is tried again by every sweep."""

import json
import secrets
from typing import Any

import pytest
import requests
from google.api_core.exceptions import Forbidden, InvalidArgument, ServiceUnavailable
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.storage import Blob

from astra.jobs import MAX_ATTEMPTS
from tests.functions.retention.stored import Stored


def fill(stored: Stored, name: str, count: int) -> list[Any]:
    """Rows of as many people, that are due."""
    end = stored.clock()
    return [stored.add(name, f"{secrets.token_hex(4)}-{number}", until=end) for number in range(count)]


def refuse(monkeypatch: pytest.MonkeyPatch, *paths: str, error: Exception | None = None) -> list[int]:
    """Have the database refuse every commit that touches these. Answers how many it refused."""
    real, refused = FirestoreClient.commit, [0]

    def commit(self: FirestoreClient, request: Any = None, **more: Any) -> Any:
        if any(path in repr(write) for write in request["writes"] for path in paths):
            refused[0] += 1
            raise error or InvalidArgument("this one not")
        return real(self, request, **more)

    monkeypatch.setattr(FirestoreClient, "commit", commit)
    return refused


@pytest.mark.parametrize("place", [0, 7, 19])
def test_a_row_that_the_database_refuses_to_delete_stays_alone(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    rows = fill(stored, "events", 20)
    refused = refuse(monkeypatch, rows[place].path)
    stored.sweep()
    assert [number for number, row in enumerate(rows) if row.get().exists] == [place]
    assert stored.counted() == {"events": 19}
    assert refused[0] < 15, "halving finds it"
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "sweep.skipped" in line]
    assert [line["error"] for line in said] == ["InvalidArgument"]
    monkeypatch.undo()
    stored.sweep()
    assert not rows[place].get().exists


def test_for_as_long_as_it_stays_the_sweep_goes_on(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    [poison] = fill(stored, "events", 1)
    refuse(monkeypatch, poison.path)
    for _ in range(MAX_ATTEMPTS + 2):
        stored.clock.step(hours=1)
        [row] = fill(stored, "events", 1)
        stored.run("sweep-events")
        assert (poison.get().exists, row.get().exists) == (True, False)
    job = stored.job("sweep-events")
    assert (job["state"], job["attempts"], job["counts"]) == ("ended", 0, {"deleted": 1, "skipped": 1})


def test_more_of_it_than_a_page_is_passed_by(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = [stored.add("events", "mallory", until=stored.clock()) for _ in range(12)]
    rows = fill(stored, "events", 4)
    refuse(monkeypatch, *(row.path for row in poison))
    monkeypatch.setattr("retention.documents._PAGE_DOCUMENTS", 2)
    monkeypatch.setattr("retention.documents._QUERY_DOCUMENTS", 5)
    stored.run("sweep-events")
    assert [row.get().exists for row in rows] == [False] * 4
    assert stored.job("sweep-events")["counts"] == {"deleted": 4, "skipped": 12}


def test_holds_that_can_not_be_read_keep(stored: Stored) -> None:
    rows = fill(stored, "events", 3)
    uid = rows[1].path.split("/")[1]
    holds = stored.db.document("holds", stored.platform.pseudonyms.of_uid(uid))
    holds.set({"odd": {"basis": "torn"}})
    stored.sweep()
    assert [row.get().exists for row in rows] == [False, True, False]


@pytest.mark.parametrize("error", [Forbidden("locked"), ServiceUnavailable("busy"), requests.ConnectionError("gone")])
def test_an_image_whose_object_does_not_go_delays_no_other(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("one-00001", "two-00002", "three-0003"):
        stored.image("ada", name, stored.clock())
    real = Blob.delete

    def delete(self: Blob, *args: Any, **kwargs: Any) -> None:
        if self.name == "thumbs/ada/two-00002":
            raise error
        real(self, *args, **kwargs)

    monkeypatch.setattr(Blob, "delete", delete)
    stored.sweep()
    assert stored.parts("ada", "one-00001") == stored.parts("ada", "three-0003") == []
    # Noise already, hidden, and still there to be tried again.
    assert stored.parts("ada", "two-00002") == ["users/ada/images/two-00002", "thumbs/ada/two-00002"]
    assert "expiredAt" in (stored.db.document("users/ada/images/two-00002").get().to_dict() or {})
    monkeypatch.undo()
    stored.sweep()
    assert stored.parts("ada", "two-00002") == []
    assert stored.counted() == {"image-records": 3}


def test_a_database_that_is_down_is_nobodys_fault(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = fill(stored, "events", 4)
    monkeypatch.setattr("google.api_core.retry.retry_unary.time.sleep", lambda _: None)
    refuse(monkeypatch, *(row.path for row in rows), error=ServiceUnavailable("down"))
    with monkeypatch.context() as patched:
        patched.setattr("google.api_core.retry.retry_unary.time.monotonic", iter(range(10**6)).__next__)
        stored.run("sweep-events")
    job = stored.job("sweep-events")
    assert (job["state"], job["attempts"]) == ("running", 1)
    assert all(row.get().exists for row in rows)
    monkeypatch.undo()
    stored.clock.step(seconds=2)
    stored.run("sweep-events")
    assert not any(row.get().exists for row in rows)


def test_an_entry_that_fails_does_not_keep_the_others_from_their_turn(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    [row] = fill(stored, "requests", 1)
    real = FirestoreClient.run_query

    def run_query(self: FirestoreClient, request: Any = None, **more: Any) -> Any:
        if "events" in repr(request):
            raise InvalidArgument("no index")
        return real(self, request, **more)

    monkeypatch.setattr(FirestoreClient, "run_query", run_query)
    for _ in range(MAX_ATTEMPTS + 1):
        stored.sweep()
        stored.clock.step(hours=1)
    assert not row.get().exists
    assert stored.job("sweep-events")["state"] == "stuck", "visible"
