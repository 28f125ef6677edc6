import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import firestore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astra.jobs import MAX_ATTEMPTS, Atomic, Pause, Worker, due, opened
from astra.runtime.platform import Platform

BUDGET = timedelta(minutes=1)
RETRY = timedelta(seconds=1)


class Setting:
    """A collection of its own, a clock, and workers on it."""

    def __init__(self, platform: Platform[Any], clock: Any) -> None:
        self.platform, self.clock = platform, clock
        self.jobs = platform.db.collection(f"test-jobs-{secrets.token_hex(8)}")
        self.worker = Worker(platform.db, clock, RETRY)

    def open(self, **fields: Any) -> firestore.DocumentReference:
        job = self.jobs.document(secrets.token_hex(8))
        job.set(opened(self.clock(), **fields))
        return job

    def fields(self, job: firestore.DocumentReference) -> dict[str, Any]:
        fields = job.get().to_dict()
        assert fields is not None
        return fields

    def due(self) -> list[str]:
        return list(due(self.jobs, self.clock()))


@pytest.fixture
def at(platform: Platform[Any], clock: Any) -> Iterator[Setting]:
    setting = Setting(platform, clock)
    yield setting
    for job in setting.jobs.list_documents():
        job.delete()


def count_to(last: int) -> Any:
    def page(job: dict[str, Any]) -> dict[str, Any]:
        done = job["done"] + 1
        return {"done": done} | ({"nextRunAt": None, "state": "ended"} if done == last else {})

    return page


def test_a_job_runs_page_by_page_to_its_end(at: Setting) -> None:
    job = at.open(done=0)
    assert at.due() == [job.id]
    assert at.worker.run(job, count_to(5), BUDGET) is None
    assert at.fields(job) | {"createdAt": 0} == {
        "done": 5,
        "state": "ended",
        "nextRunAt": None,
        "leased": False,
        "fence": 1,
        "attempts": 0,
        "createdAt": 0,
    }
    assert at.due() == []


def test_an_ended_or_missing_job_is_left_alone(at: Setting) -> None:
    job = at.open(done=0)
    at.worker.run(job, count_to(1), BUDGET)
    assert at.worker.run(job, count_to(1), BUDGET) is None
    assert at.worker.run(at.jobs.document("missing"), count_to(1), BUDGET) is None
    assert at.fields(job)["fence"] == 1


def test_a_used_up_budget_hands_the_rest_to_the_next_run(at: Setting) -> None:
    job = at.open(done=0)
    again = at.worker.run(job, count_to(3), timedelta(0))
    assert again == at.clock()
    assert at.fields(job)["done"] == 1
    at.worker.run(job, count_to(3), BUDGET)
    assert at.fields(job)["done"] == 3


def test_a_pause_is_kept(at: Setting) -> None:
    job, until = at.open(done=0), at.clock() + timedelta(hours=1)
    assert at.worker.run(job, lambda _: Pause({"done": 1}, until), BUDGET) == until
    assert at.due() == []
    assert at.worker.run(job, count_to(2), BUDGET) is None
    assert at.fields(job)["done"] == 1
    at.clock.step(hours=1)
    assert at.due() == [job.id]
    at.worker.run(job, count_to(2), BUDGET)
    assert at.fields(job)["done"] == 2


@pytest.mark.parametrize("until", [None, timedelta(hours=1)], ids=["an end", "a pause"])
def test_a_checkpoint_whose_answer_is_lost_stays(at: Setting, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job, due_at = at.open(done=0), until and at.clock() + until
    commit = firestore.WriteBatch.commit

    def lost(*args: Any) -> None:
        monkeypatch.undo()
        commit(*args)
        raise OSError

    def page(_: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr(firestore.WriteBatch, "commit", lost)
        return {"done": 1, "nextRunAt": due_at}

    at.worker.run(job, page, BUDGET)
    assert at.fields(job) | {"nextRunAt": due_at, "attempts": 0, "done": 1} == at.fields(job)


def test_a_commit_that_fails_a_condition_is_made_by_a_transaction_that_compares(at: Setting) -> None:
    """The job was changed by somebody who is no worker; a document that is hardly ever there, is."""
    job, rare = at.open(done=0), at.jobs.document("rare")
    seen = []

    def page(fields: dict[str, Any]) -> Atomic:
        job.update({"noted": fields["done"]})
        if fields["done"] == 1:
            rare.set({"there": True})

        def write(batch: firestore.WriteBatch, read: list[Any]) -> dict[str, Any]:
            seen.append(read[0].exists)
            batch.set(at.jobs.document("beside"), {"done": fields["done"]})
            return count_to(3)(fields)  # type: ignore[no-any-return]

        return Atomic(write, (rare,), rare=True)

    at.worker.run(job, page, BUDGET)
    assert (at.fields(job)["done"], at.fields(job)["state"], at.fields(job)["noted"]) == (3, "ended", 2)
    assert at.jobs.document("beside").get().get("done") == 2
    assert seen == [False, False, False, True, False, True]


def test_what_is_hardly_ever_there_is_asserted_in_the_commit_itself(at: Setting) -> None:
    """No read before the commit decides it: what appears just before that is seen."""
    job, rare, beside = at.open(done=0), at.jobs.document("rare"), at.jobs.document("beside")

    def write(batch: firestore.WriteBatch, read: list[Any]) -> dict[str, Any]:
        if not read[0].exists:
            rare.set({"there": True})
            batch.set(beside, {})
        return {"nextRunAt": None, "state": "kept" if read[0].exists else "deleted"}

    at.worker.run(job, lambda _: Atomic(write, (rare,), rare=True), BUDGET)
    assert (at.fields(job)["state"], beside.get().exists) == ("kept", False)


def test_a_dead_worker_is_found_when_its_lease_ends(at: Setting) -> None:
    job = at.open(done=0)

    def die(_: dict[str, Any]) -> dict[str, Any]:
        raise KeyboardInterrupt  # as SIGKILL would: nothing of ours catches it

    with pytest.raises(KeyboardInterrupt):
        at.worker.run(job, die, BUDGET)
    assert at.due() == []
    at.clock.step(minutes=5)
    assert at.due() == [job.id]
    at.worker.run(job, count_to(1), BUDGET)
    assert at.fields(job)["state"] == "ended"


def test_a_worker_that_slept_through_its_lease_changes_nothing(at: Setting) -> None:
    job = at.open(done=0)

    def sleep(fields: dict[str, Any]) -> dict[str, Any]:
        at.clock.step(minutes=6)
        Worker(at.platform.db, at.clock, RETRY).run(job, count_to(7), BUDGET)
        return {"done": fields["done"] + 100}

    assert at.worker.run(job, sleep, BUDGET) is None
    assert at.fields(job)["done"] == 7
    assert at.fields(job)["state"] == "ended"


def test_a_fenced_failure_changes_nothing_either(at: Setting) -> None:
    job = at.open(done=0)

    def sleep_and_fail(_: dict[str, Any]) -> dict[str, Any]:
        at.clock.step(minutes=6)
        Worker(at.platform.db, at.clock, RETRY).run(job, count_to(7), BUDGET)
        raise OSError

    assert at.worker.run(job, sleep_and_fail, BUDGET) is None
    assert at.fields(job)["attempts"] == 0


def test_failures_wait_longer_each_time_then_the_job_is_stuck_and_in_nobodys_way(at: Setting) -> None:
    poison, good = at.open(done=0), at.open(done=0)

    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise OSError("canary")

    waits = []
    for _ in range(MAX_ATTEMPTS - 1):
        again = at.worker.run(poison, fail, BUDGET)
        assert again is not None
        waits.append((again - at.clock()).total_seconds())
        at.clock.now = again
    assert waits == [min(2**n, 3600) for n in range(MAX_ATTEMPTS - 1)]
    assert at.worker.run(poison, fail, BUDGET) is None
    assert at.fields(poison)["state"] == "stuck"
    assert at.due() == [good.id]


def test_a_job_that_kills_its_worker_each_time_is_stuck_in_the_end(at: Setting) -> None:
    job = at.open(done=0)

    def die(_: dict[str, Any]) -> dict[str, Any]:
        raise KeyboardInterrupt

    for deaths in range(MAX_ATTEMPTS):
        assert (at.fields(job)["state"], at.fields(job)["attempts"]) == ("running", max(0, deaths - 1))
        with pytest.raises(KeyboardInterrupt):
            at.worker.run(job, die, BUDGET)
        at.clock.step(minutes=5)
    assert at.worker.run(job, count_to(1), BUDGET) is None
    assert (at.fields(job)["state"], at.fields(job)["attempts"]) == ("stuck", MAX_ATTEMPTS)
    assert at.due() == []


def test_a_page_longer_than_the_lease_is_stuck_in_the_end(at: Setting) -> None:
    job = at.open(done=0)

    def overtaken(fields: dict[str, Any]) -> dict[str, Any]:
        at.clock.step(minutes=6)
        Worker(at.platform.db, at.clock, RETRY).run(job, overtaken, BUDGET)
        return {"done": fields["done"] + 1}

    assert at.worker.run(job, overtaken, BUDGET) is None
    assert (at.fields(job)["state"], at.fields(job)["done"]) == ("stuck", 0)


@pytest.mark.parametrize("given_back", ["a pause", "a used up budget", "a failure"])
def test_a_worker_that_gave_the_job_back_is_not_taken_for_dead(at: Setting, given_back: str) -> None:
    job, failures = at.open(done=0), int(given_back == "a failure")

    def page(fields: dict[str, Any]) -> dict[str, Any] | Pause:
        if failures:
            raise OSError
        done = {"done": fields["done"] + 1}
        return Pause(done, at.clock() + timedelta(minutes=5)) if given_back == "a pause" else done

    at.worker.run(job, page, timedelta(0))
    at.clock.step(minutes=5)
    claimed = []
    at.worker.run(job, lambda fields: claimed.append(fields) or count_to(2)(fields), timedelta(0))
    assert claimed[0]["attempts"] == failures


def test_progress_forgives_earlier_failures(at: Setting) -> None:
    job, outcomes = at.open(done=0), iter([OSError(), None, OSError()])

    def page(fields: dict[str, Any]) -> dict[str, Any]:
        if (error := next(outcomes)) is not None:
            raise error
        return {"done": fields["done"] + 1}

    at.worker.run(job, page, BUDGET)
    at.clock.step(seconds=1)
    at.worker.run(job, page, BUDGET)
    assert (at.fields(job)["done"], at.fields(job)["attempts"]) == (1, 1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["page", "fail", "die", "race", "budget"]), max_size=MAX_ATTEMPTS - 1))
def test_whatever_happens_the_job_ends_and_counts_each_page_once(at: Setting, fates: list[str]) -> None:
    """Crashes, failures, second workers and short budgets in any order: no page is lost, none counts twice."""
    job, remaining = at.open(done=0), list(fates)

    def page(fields: dict[str, Any]) -> dict[str, Any]:
        fate = remaining.pop(0) if remaining else "page"
        if fate == "fail":
            raise OSError
        if fate == "die":
            raise KeyboardInterrupt
        if fate == "race":
            at.clock.step(minutes=6)
            Worker(at.platform.db, at.clock, RETRY).run(job, page, timedelta(0))
        if fate == "budget":
            at.clock.step(minutes=2)
        return count_to(4)(fields)  # type: ignore[no-any-return]

    for _ in range(60):
        if at.fields(job)["nextRunAt"] is None:
            break
        with suppress(KeyboardInterrupt):
            at.worker.run(job, page, BUDGET)
        at.clock.step(minutes=6)
    assert (at.fields(job)["state"], at.fields(job)["done"]) == ("ended", 4)
