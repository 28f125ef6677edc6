"""The register of processors, as staff see it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from astra.runtime.platform import Platform
from cli import processors
from cli.__main__ import main
from governance.processors import PROCESSORS, PROCESSORS_COLLECTION
from tests.functions.governance.conftest import platform  # noqa: F401
from tests.support.desk import sit_down


def test_the_list_says_until_when_each_agreement_is_valid(
    platform: Platform[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sit_down(monkeypatch, platform)
    processors.seed(platform.db, platform.clock())
    first, *others = sorted(processor.name for processor in PROCESSORS)
    agreement = {"reference": "DPA-7", "expiresAt": datetime(2027, 3, 1, tzinfo=UTC)}
    platform.db.collection(PROCESSORS_COLLECTION).document(first).update({"agreement": agreement})
    assert main(["processors", "list", "--json"]) == 0
    until = {row["processor"]: row["agreement until"] for row in json.loads(capsys.readouterr().out)}
    assert until == {first: "2027-03-01T00:00:00Z", **dict.fromkeys(others, "none")}
