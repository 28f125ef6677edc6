"""What a deployment asks for stands in the example of its settings, and on the page that says how to deploy."""

from __future__ import annotations

import re

import pytest

from local.deployment.manifests import manifest
from local.paths import ROOT
from local.stack import firebase_json
from tests.deployment.page import commands

ASKED = {param["name"] for codebase in firebase_json.codebases() for param in manifest(codebase).get("params", [])}
EXAMPLE = (ROOT / "settings/.env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [EXAMPLE, commands("5. ")], ids=["example", "page"])
def test_every_parameter_is_given_a_value(text: str) -> None:
    assert set(re.findall(r"(?m)^(ASTRA_\w+)=", text)) >= ASKED


def test_the_example_asks_for_nothing_more() -> None:
    assert set(re.findall(r"(?m)^(ASTRA_\w+)=", EXAMPLE)) == ASKED


def test_a_predeploy_runs_with_the_python_that_set_up_made_whatever_the_machine_has() -> None:
    for codebase in firebase_json.read()["functions"]:
        for command in codebase["predeploy"]:
            assert command.startswith('sh "$PROJECT_DIR/shared/python.sh" '), codebase["codebase"]
