"""The whole stack: every codebase is loaded, its schedules fire, its queues are there, its secrets reach it."""

from __future__ import annotations

import os

import httpx
import pytest

from local.paths import ROOT
from local.stack import firebase_json
from local.stack.run_folder import KEYS
from local.stack.schedules import ScheduleError
from local.stack.stack import Stack, StackError
from tests.local.support import eventually
from tests.support.offsets import SHARED


def test_every_codebase_is_loaded(stack: Stack) -> None:
    backends = httpx.get(f"{stack.functions_url}/backends", trust_env=False).raise_for_status().json()["backends"]
    loaded = {trigger["codebase"] for backend in backends for trigger in backend["functionTriggers"]}
    assert loaded == set(firebase_json.codebases())


def test_each_codebase_has_the_secrets_and_the_repository_has_none(stack: Stack) -> None:
    files = list((stack.run_dir / "project").rglob(".secret.local"))
    assert len(files) == len(firebase_json.codebases())
    for file in files:
        values = dict(line.split("=", 1) for line in file.read_text().splitlines())
        assert {name: values[name] for name in KEYS} == {name: os.environ[name] for name in KEYS}
        assert values["ASTRA_REPLICATE_TOKEN"] == os.environ["ASTRA_REPLICATE_TOKEN"] == stack.replicate.token
    assert not list(ROOT.glob("functions/*/.secret.local"))


def test_the_functions_are_told_where_replicate_is(stack: Stack) -> None:
    told = f"ASTRA_REPLICATE_URL='{stack.replicate.url}'"
    for folder in firebase_json.settings_folders():
        assert told in (stack.run_dir / "project" / folder / ".env.local").read_text().splitlines()
    assert os.environ["ASTRA_REPLICATE_URL"] == stack.replicate.url


def test_the_timer_fires_schedules_without_failures(stack: Stack) -> None:
    schedules = stack.schedules
    assert schedules is not None
    assert schedules.names()
    eventually(lambda: set(schedules.names()) <= schedules.fired, "every schedule has been fired")
    assert not schedules.failures


def test_a_schedule_fires_by_name(stack: Stack) -> None:
    assert stack.schedules is not None
    for name in stack.schedules.names():
        stack.fire(name)
    with pytest.raises(ScheduleError, match=r"no schedule is named nonsense; there are: \w+"):
        stack.fire("nonsense")


def test_each_task_queue_exists(stack: Stack) -> None:
    queues = httpx.get(f"http://127.0.0.1:{stack.ports['tasks']}/queueStats", trust_env=False).raise_for_status().json()
    assert any("erase" in name for name in queues), queues


def test_pubsub_delivers(stack: Stack) -> None:
    project = f"http://127.0.0.1:{stack.ports['pubsub']}/v1/projects/{stack.project}"
    topic = f"projects/{stack.project}/topics/probe"
    httpx.put(f"{project}/topics/probe", json={}).raise_for_status()
    httpx.put(f"{project}/subscriptions/probe", json={"topic": topic}).raise_for_status()
    httpx.post(f"{project}/topics/probe:publish", json={"messages": [{"data": "YQ=="}]}).raise_for_status()
    pulled = httpx.post(f"{project}/subscriptions/probe:pull", json={"maxMessages": 1}, timeout=30).raise_for_status()
    assert [received["message"]["data"] for received in pulled.json()["receivedMessages"]] == ["YQ=="]


def test_a_second_stack_is_refused_while_it_runs(stack: Stack) -> None:
    busy = rf"port {stack.ports['auth']} \(auth\) is in use by pid \d+ \(node\): stop it"
    with pytest.raises(StackError, match=busy), Stack(offset=SHARED):
        pytest.fail("it started")
