"""What Cloud Tasks is asked for, over HTTP."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import firebase_admin
import pytest

from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from astra.runtime.task_queue import Queue

AT = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A server that takes tasks, and those that it took."""
    tasks: list[dict[str, Any]] = []

    class Tasks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tasks.append({"path": self.path, **body["task"]})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                json.dumps(
                    {"task": {"name": "/projects/demo-queue/locations/us-central1/queues/notify/tasks/one"}}
                ).encode()
            )

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Tasks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", f"127.0.0.1:{server.server_port}")
    yield tasks
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_REGION", "europe-west1")


@pytest.fixture
def queue(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", base64.b64encode(bytes(32)).decode())
    platform = Platform(Settings)
    platform.app = firebase_admin.initialize_app(None, {"projectId": "demo-queue"}, secrets.token_hex(6))
    yield Queue(platform, "notify")
    firebase_admin.delete_app(platform.app)


@pytest.mark.parametrize("at", [None, AT])
def test_a_task_may_take_as_long_as_its_function(
    queue: Queue, asked: list[dict[str, Any]], at: datetime | None
) -> None:
    """Cloud Tasks' own deadline is ten minutes."""
    assert queue.hint("a-job", at)
    [task] = asked
    assert task["dispatchDeadline"] == "1800s"
    assert bool(task["scheduleTime"]) == bool(at)


def test_a_task_goes_to_the_queue_in_the_region_of_the_functions(queue: Queue, asked: list[dict[str, Any]]) -> None:
    assert queue.hint("a-job")
    assert "/locations/europe-west1/queues/notify/" in asked[0]["path"]
