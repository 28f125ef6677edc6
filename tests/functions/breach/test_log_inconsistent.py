"""Exceptions and incidents: an incident is opened by what an exception is, never by what it is called."""

import importlib
import json
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import HttpsError

import astra
from astra import jobs
from astra.runtime import log
from astra.runtime.callables import guarded
from astra.runtime.platform import Platform
from breach import incidents
from breach.detection.audit_log import Detector
from breach.detection.watch import watch
from local import audit_log
from local.paths import ROOT

CODEBASE_FILES = sorted((ROOT / "functions").glob("*/*.py"))


def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


def own_exceptions() -> set[type[BaseException]]:
    """Every exception class of the shared package and of the codebases; no main.py defines one."""
    names = [f"astra.{module.name}" for module in pkgutil.iter_modules(astra.__path__)]
    names += [path.stem for path in CODEBASE_FILES if path.stem != "main"]
    modules = {importlib.import_module(name).__name__ for name in names}
    return {kind for kind in below(BaseException) if kind.__module__ in modules}


def ending_in(platform: Platform[Any], kind: type[BaseException]) -> None:
    """End a job and a request in an exception of that class."""

    def fail(*_: object) -> Any:
        raise kind.__new__(kind)

    job = platform.db.collection("rounds").document()
    job.create(jobs.opened(platform.clock()))
    jobs.Worker(platform.db, platform.clock, timedelta(minutes=1)).run(job, fail, timedelta(minutes=1))
    with pytest.raises(HttpsError):
        guarded(fail)()


def opened_by(platform: Platform[Any], lines: str) -> list[dict[str, Any]]:
    """Deliver these lines to the watch. Return the incidents that it opens, and close them."""
    entries = [audit_log.own(platform.clock(), **json.loads(line)) for line in lines.splitlines()]
    watch(platform, audit_log.wire(*entries))
    rows = list(platform.db.collection(incidents.INCIDENTS).get())
    for row in rows:
        row.reference.delete()
    return [row.to_dict() or {} for row in rows]


def test_main_modules_define_no_class() -> None:
    for path in CODEBASE_FILES:
        assert path.stem != "main" or "\nclass " not in path.read_text(encoding="utf-8"), path


def test_each_disagreement_about_the_log_opens_an_incident_and_no_other_exception_does(
    platform: Platform[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    every = own_exceptions()
    disagreements = set(below(log.Inconsistent))
    assert {kind.__name__ for kind in disagreements} >= {"Tampered", "BadNote", "Forked", "Refused"}
    assert len([kind for kind in every if kind.__name__ == "Refused"]) > 1, "a name says nothing"
    for kind in sorted(every - {log.Inconsistent}, key=str):
        capsys.readouterr()
        ending_in(platform, kind)
        found = opened_by(platform, capsys.readouterr().out)
        expected = [(Detector.LOG_INCONSISTENT, 1)] if kind in disagreements else []
        assert [(case["detector"], case["severity"]) for case in found] == expected, kind
