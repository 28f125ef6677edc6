"""The command for staff: what is running, stuck or due, and how to take it up."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from firebase_admin import auth
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from astra import erasure
from astra.erasure import roll_call
from astra.runtime import rate_limits
from astra.runtime.platform import Platform
from cli import operator
from cli import roll_call as roll_call_command
from cli.__main__ import main
from erasure import orphans
from local.stand_ins.http_server import HttpStandIn, answer
from tests.functions.erasure.conftest import ada, platform  # noqa: F401
from tests.functions.erasure.somebody import Somebody
from tests.support.desk import sit_down


@pytest.fixture
def run(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    sit_down(monkeypatch, platform)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> tuple[int, str]:
        code = main(["erasure", *arguments, "--yes"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return command


def test_the_table_shows_what_is_stuck_first_and_names_nobody(platform: Platform[Any], ada: Somebody, run: Any) -> None:
    grace = Somebody(platform)
    for somebody in (ada, grace):
        erasure.begin(platform, somebody.uid, platform.clock())
    grace.work()
    ada.job.update({"state": "stuck", "nextRunAt": None})
    code, printed = run("status")
    rows = [line for line in printed.splitlines() if "│ " in line]
    assert code == 0
    assert [row.split()[1] for row in rows] == [ada.subject[:10], grace.subject[:10]]
    assert "stuck" in rows[0]
    assert "verify" in rows[1]
    assert ada.uid not in printed
    assert ada.email not in printed
    assert "roll call: on since" in printed
    roll_call.switch(platform.db).delete()
    assert "roll call: OFF" in run("status")[1]


def test_a_certificate_is_shown_as_a_table(ada: Somebody, run: Any) -> None:
    ada.erase()
    for who in (ada.uid, ada.subject[:12], ada.platform.pseudonyms.receipt(ada.subject)):
        code, printed = run("show", who)
        assert code == 0
        assert "verified" in printed
        assert "sealed-images" in printed


def test_a_stuck_erasure_is_taken_up_again(ada: Somebody, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    alive = ada.platform.redis
    ada.platform.__dict__["redis"] = rate_limits.connect("redis://127.0.0.1:9/0")
    for _ in range(20):
        ada.work()
        ada.platform.clock.step(hours=2)  # type: ignore[attr-defined]
    assert ada.fields()["state"] == "stuck"
    ada.platform.__dict__["redis"] = alive
    code, printed = run("retry", ada.uid)
    assert code == 0
    assert "running" in printed
    assert ada.erase()["state"] == "verified"
    assert ada.places() == set()


@pytest.mark.parametrize("who", ["nobody", "ab", "0" * 64, "x.y", "a/b", "..", "__x__"])
def test_whom_it_does_not_know_it_says_so(run: Any, who: str) -> None:
    code, printed = run("show", who)
    assert code == 1
    assert "receipt" in printed


def test_what_has_ended_or_waits_for_a_hold_is_not_retried(ada: Somebody, run: Any) -> None:
    ada.erase()
    code, printed = run("retry", ada.uid)
    assert code == 1
    assert "nothing to retry" in printed
    for step in (erasure.HELD, "verify"):  # waiting as they should: the quiet period is not to be cut short
        ada.job.update({"state": "running", "step": step, "nextRunAt": ada.platform.clock() + timedelta(days=1)})
        code, printed = run("retry", ada.uid)
        assert code == 1
        assert "waits as it should" in printed


def test_a_dry_run_waits_for_the_function_and_shows_what_it_found(
    platform: Platform[Any], ada: Somebody, run: Any
) -> None:
    roll_call.switch(platform.db).delete()
    Somebody(platform)
    auth.delete_user(ada.uid, app=platform.app)
    change = {"orphan_grace_hours": 0, "orphans_share": 1}
    platform.__dict__["settings"] = platform.settings.model_copy(update=change)
    platform.clock.now = datetime.now(UTC)  # type: ignore[attr-defined]

    def reconcile() -> None:
        """What the schedule does, until the round that the command asks for has ended."""
        deadline = datetime.now(UTC) + timedelta(minutes=2)
        while not roll_call.report(platform.db).get().exists and datetime.now(UTC) < deadline:
            orphans.call_the_roll(platform, timedelta(0))

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(reconcile)
        code, printed = run("roll-call", "--dry-run")
        working.result()
    found = roll_call.report(platform.db).get().to_dict() or {}
    assert code == 0
    assert "orphans: data without an account" in printed
    assert ada.subject[:10] in printed
    assert f"enable --report {found['digest']}" in printed
    assert ada.uid not in printed
    assert run("roll-call")[1].startswith("roll call: OFF")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("enable",), "--report DIGEST"),
        (("disable", "--report", "0" * 64), "--report DIGEST"),
        (("--dry-run", "disable"), "--dry-run goes without"),
        (("disable",), "ASTRA_ID_TOKEN is missing"),
    ],
)
def test_what_the_switch_lacks_is_said(
    run: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("ASTRA_ID_TOKEN", raising=False)
    code, printed = run("roll-call", *arguments)
    assert code == 1
    assert said in printed


class Functions(HttpStandIn):
    """A function's URL at which something else answers."""

    def __init__(self, body: Any) -> None:
        super().__init__(0, Map([Rule("/switch_roll_call", endpoint="switch")]))
        self.body = body

    def switch(self, _: Request) -> Response:
        return answer(self.body)


@pytest.mark.parametrize("body", [{}, [], {"error": "x"}, {"result": None}, "x"])
def test_an_answer_that_is_none_of_the_functions_is_said_to_be_so(
    run: Any, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    with Functions(body) as server:
        monkeypatch.setenv("ASTRA_ID_TOKEN", server.token)
        monkeypatch.setenv("ASTRA_FUNCTIONS_URL", server.url)
        code, printed = run("roll-call", "disable")
    assert code == 1
    assert "is not deployed, or answered wrongly: HTTP 200" in printed


def test_the_switch_needs_no_secret_and_asks_for_the_project(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_ID_TOKEN", "word")
    for name in ("ASTRA_FUNCTIONS_URL", "GOOGLE_CLOUD_PROJECT", "ASTRA_PSEUDONYM_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(operator, "platform", lambda *_, **__: pytest.fail("it reads the databases"))
    code, printed = run("roll-call", "disable")
    assert (code, "set GOOGLE_CLOUD_PROJECT" in printed) == (1, True)


class IdentityToolkit(HttpStandIn):
    """The one call of Identity Platform's administration that `status` makes, in its documented shape."""

    def __init__(self, project: str, config: dict[str, Any]) -> None:
        super().__init__(0, Map([Rule(f"/admin/v2/projects/{project}/config", endpoint="config")]))
        self._config = config

    def config(self, request: Request) -> Response:
        assert request.headers["X-Goog-User-Project"]
        return answer(self._config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"client": {"permissions": {"disabledUserDeletion": True}}}, "impossible, as it should be"),
        ({"client": {"permissions": {"disabledUserSignup": True}}}, "POSSIBLE"),
        ({}, "POSSIBLE"),
    ],
)
def test_whether_clients_can_delete_accounts_past_us_is_said(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], said: str
) -> None:
    project = platform.app.project_id
    with IdentityToolkit(project, config) as api, requests.Session() as session:
        assert "in the emulators" in roll_call_command.deletion_line(project, session, api.url)
        monkeypatch.delenv("FUNCTIONS_EMULATOR")
        session.headers["Authorization"] = f"Bearer {api.token}"
        assert said in roll_call_command.deletion_line(project, session, api.url)
        session.headers["Authorization"] = "Bearer somebody-else's"
        assert "NOT KNOWN" in roll_call_command.deletion_line(project, session, api.url)
