"""SIGKILL takes an erasure's worker at twenty moments, before and after its requests, from the first to the last."""

import multiprocessing
import secrets
import signal
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError

from astra import jobs
from astra.datamap.model import Store
from astra.runtime.platform import Platform
from erasure import cascade, objects
from local.stack.stack import Stack
from tests.faults import doomed
from tests.support.people import Somebody, generate, settle

POINTS = 20
#: Small, so that a step has several pages.
PAGE = 2
# Not forked from here: gRPC must not have been used yet in a process that forks.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["firebase_admin.auth", "google.cloud.storage", "httpx", "redis", "astra.vault.keys"])


@pytest.fixture
def ada(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> Somebody:
    monkeypatch.setattr(objects, "_PAGE_OBJECTS", PAGE)
    settle(platform, f"demo-{secrets.token_hex(6)}")
    ada = Somebody(platform)
    generate(platform, ada.uid)
    ada.ask()
    return ada


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


def run(ada: Somebody, diary: Path, moment: int) -> int | None:
    """Let another process work, until that moment or the end. Answers its exit code."""
    now: datetime = ada.platform.clock()
    where = (ada.platform.app.project_id, str(ada.subject))
    process = _processes.Process(target=doomed.work, args=(*where, now, diary, PAGE, moment))
    process.start()
    process.join(60)
    return process.exitcode


def lines(diary: Path, kind: str) -> list[str]:
    return [line for line in diary.read_text().splitlines() if line.startswith(kind)]


def let_go_of_locks(ada: Somebody, diary: Path) -> None:
    """What the database does by itself within a minute of a client's death, long before the lease ends."""
    db = ada.platform.db
    for line in lines(diary, "transaction")[-1:]:
        with suppress(GoogleAPICallError):  # it had committed
            db._firestore_api.rollback({"database": db._database_string, "transaction": bytes.fromhex(line.split()[1])})


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """What the first test learns of a whole run: its pages, how many moments it has, and what it counted."""
    return {}


def test_a_whole_run_goes_through_every_step(ada: Somebody, diary: Path, undisturbed: dict[str, Any]) -> None:
    assert run(ada, diary, 0) == 0
    assert ada.fields()["state"] == "verified"
    # The last page of objects finds none, and goes on to the counters.
    steps = [step for step in cascade._STEPS if step != Store.REDIS]
    assert list(dict.fromkeys(lines(diary, "page"))) == [f"page {step}" for step in steps]
    moments = len(lines(diary, "moment"))
    assert moments > 2 * POINTS
    undisturbed |= {"pages": lines(diary, "page"), "moments": moments, "stores": ada.fields()["certificate"]["stores"]}


@pytest.mark.parametrize("point", range(POINTS))
def test_a_killed_worker_costs_a_page_at_most(
    stack: Stack, ada: Somebody, diary: Path, undisturbed: dict[str, Any], point: int
) -> None:
    if not undisturbed:
        pytest.skip("needs the whole run before it")
    assert run(ada, diary, 1 + point * (undisturbed["moments"] - 1) // (POINTS - 1)) == -signal.SIGKILL
    let_go_of_locks(ada, diary)
    worker = jobs.Worker(ada.platform.db, ada.platform.clock, ada.platform.settings.retry_delay)
    page = doomed.noting(cascade.Cascade(ada.platform, ada.subject).page, diary)
    while (due := ada.fields()["nextRunAt"]) is not None:
        assert ada.fields()["state"] == "running"
        ada.platform.clock.now = due  # type: ignore[attr-defined]
        worker.run(ada.job, page, doomed.BUDGET)
    assert ada.fields()["state"] == "verified"
    assert ada.traces(stack) == []
    assert len(lines(diary, "page")) <= len(undisturbed["pages"]) + 1
    for line, whole in zip(ada.fields()["certificate"]["stores"], undisturbed["stores"], strict=True):
        assert line["deleted"] <= whole["deleted"], "more is counted than was there"
