import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from astra.runtime import log
from astra.runtime.pseudonyms import Pseudonyms

CANARY = "ada.canary@example.com"


@pytest.fixture
def installed(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    log.install()
    yield
    logging.setLogRecordFactory(logging.LogRecord)
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert CANARY not in captured.out + captured.err
    return [json.loads(line) for line in captured.out.splitlines()]


@pytest.mark.parametrize("value", [CANARY, CANARY.encode(), [CANARY], {"email": CANARY}, ValueError(CANARY)])
def test_a_field_that_could_carry_text_is_refused(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match="can't be of type"):
        log.write(log.Event.ENROLLED, value=value)
    assert lines(capsys) == []


def test_numbers_pseudonyms_and_classes_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    subject = Pseudonyms(bytes(32)).of_email(CANARY)
    log.write(log.Event.ERASURE_STEP, step=2, job=subject, error=KeyError, done=True, severity=logging.WARNING)
    assert lines(capsys) == [
        {
            "severity": "WARNING",
            "event": "erasure.step",
            "step": 2,
            "job": subject,
            "error": "KeyError",
            "done": True,
        }
    ]


def test_a_failure_says_what_and_where_but_not_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    with pytest.raises(ValueError, match="canary") as failed:
        fail()
    log.failure(log.Event.FAILED, failed.value)
    [line] = lines(capsys)
    assert line["error"] == "ValueError"
    assert line["place"].startswith("fail:")


@pytest.mark.usefixtures("installed")
def test_what_libraries_log_or_warn_of_is_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("some.library").error("could not write %s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.exception("trouble with " + CANARY)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"{CANARY} is deprecated", stacklevel=1)
    written = lines(capsys)
    assert [line["event"] for line in written] == ["library.message"] * 3
    assert written[0]["place"].startswith("some.library:")
    assert written[1]["error"] == "ValueError"


@pytest.mark.usefixtures("installed")
def test_a_logger_with_a_handler_of_its_own_is_withheld_too(capsys: pytest.CaptureFixture[str]) -> None:
    """As gunicorn's is, which is set up after us."""
    own = logging.getLogger("gunicorn.error")
    own.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    own.addHandler(handler)
    try:
        raise ValueError(CANARY)
    except ValueError:
        own.exception("Error handling request %s", CANARY)
    finally:
        own.removeHandler(handler)
        own.propagate = True
    assert [line["error"] for line in lines(capsys)] == ["ValueError"]


@pytest.mark.usefixtures("installed")
def test_an_exception_that_nobody_catches_is_withheld_too(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(CANARY), None)
    assert [line["error"] for line in lines(capsys)] == ["ValueError", "ValueError"]


@pytest.mark.usefixtures("installed")
def test_a_contradicted_log_is_an_event_of_its_own_whoever_logs_it(capsys: pytest.CaptureFixture[str]) -> None:
    class Rewritten(log.Inconsistent):
        pass

    log.failure(log.Event.JOB_FAILED, Rewritten(CANARY), attempts=1)
    try:
        raise Rewritten(CANARY)
    except Rewritten:
        logging.getLogger("some.server").exception(CANARY)
    sys.excepthook(Rewritten, Rewritten(CANARY), None)
    written = [(line["event"], line["severity"], line["error"]) for line in lines(capsys)]
    beside = ("log.inconsistent", "CRITICAL", "Rewritten")
    assert written[1::2] == [beside] * 3
    assert [event for event, _, _ in written[::2]] == ["job.failed", "library.message", "handler.failed"]
