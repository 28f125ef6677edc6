"""The command for staff: what is running, stuck or due, and how to take it up."""

from datetime import timedelta
from typing import Any

import pytest

from astra import erasure, limits
from astra.platform import Platform
from tests.functions.erasure.somebody import Somebody


@pytest.fixture
def run(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(erasure.Platform, "at_start", lambda _kind: platform)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["erasure", *arguments])
        code = erasure.main()
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
    ada.platform.__dict__["redis"] = limits.connect("redis://127.0.0.1:9/0")
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
