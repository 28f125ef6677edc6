"""The whole life of a deployment: refused, interactive, killed half way, complete, unchanged, in part, and moved."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.deployment.cloud.event_triggers import undelivered
from tests.deployment.deployed import codebases, wrong
from tests.deployment.expected import CODEBASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deployment.rehearsal import Rehearsal

#: Asked by every deployment, and without effect where nothing has changed.
WITHOUT_EFFECT = re.compile(
    r"POST serviceusage\.googleapis\.com/v1beta1/projects/\d+/services/(pubsub|eventarc)\.googleapis\.com"
    r":generateServiceIdentity|PATCH firebaserules\.googleapis\.com/v1/projects/[a-z-]+/releases/.+"
)
KILLED_AT = 20


@pytest.fixture(autouse=True)
def only_known_requests(rehearsal: Rehearsal) -> Iterator[None]:
    """Fail by name on whatever a command asked of Google that the stand-in does not know."""
    rehearsal.google.forget()
    yield
    assert rehearsal.google.unknown == []


def functions_in(rehearsal: Rehearsal) -> set[str]:
    return {name.rsplit("/", 1)[1] for name in rehearsal.cloud.named(r".+/functions/.+")}


def test_ci_stops_before_it_creates_a_function_that_is_retried_unless_told(rehearsal: Rehearsal) -> None:
    done = rehearsal.firebase("deploy", "--only", "functions:breach")
    assert done.returncode != 0
    assert "Pass the --force option to deploy functions with a failure policy" in done.stdout
    assert functions_in(rehearsal) == set()


def test_a_person_is_asked_about_retries_and_old_images(rehearsal: Rehearsal) -> None:
    repository = rehearsal.cloud.resources["projects/astra-rehearsal/locations/us-central1/repositories/gcf-artifacts"]
    policies = repository.pop("cleanupPolicies")
    output = rehearsal.answering(
        [("Would you like to proceed with deployment", "y"), ("How many days do you want to keep", "1")],
        "deploy",
        "--only",
        "functions:breach",
    )
    assert "Deploy complete!" in output, output
    assert repository["cleanupPolicies"] == policies
    assert wrong(rehearsal.cloud, *CODEBASES["breach"]) == {}


def test_a_deployment_killed_half_way_is_completed(rehearsal: Rehearsal) -> None:
    """What the killed run had begun and not said to be done is deleted first: else it is taken for complete."""
    before = len(functions_in(rehearsal))
    lines = []
    with rehearsal.started("deploy", "--force") as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if len(functions_in(rehearsal)) >= before + KILLED_AT:
                os.killpg(process.pid, signal.SIGKILL)
                break
    output = "".join(lines)
    begun = set(re.findall(r"creating Python 3\.11 \(2nd Gen\) function (?:\w+:)?(\w+)\(", output))
    ended = set(re.findall(r"functions\[(?:\w+:)?(\w+)\(.*\] Successful create", output))
    unfinished = sorted((begun - ended) & functions_in(rehearsal))
    assert unfinished
    done = rehearsal.firebase("functions:delete", *unfinished, "--force")
    assert done.returncode == 0, done.stdout
    rehearsal.cloud.busy = 1
    done = rehearsal.firebase("deploy", "--force")
    assert done.returncode == 0, done.stdout
    assert rehearsal.cloud.busy == 0
    assert wrong(rehearsal.cloud) == {}
    assert codebases(rehearsal.cloud) == CODEBASES
    assert undelivered(rehearsal.cloud) == {}


def test_deploying_again_writes_nothing(rehearsal: Rehearsal) -> None:
    before = rehearsal.cloud.snapshot()
    done = rehearsal.firebase("deploy")
    assert done.returncode == 0, done.stdout
    assert [write for write in rehearsal.google.writes if not WITHOUT_EFFECT.fullmatch(write)] == []
    assert rehearsal.cloud.snapshot() == before


def test_one_codebase_is_deployed_and_no_other(rehearsal: Rehearsal) -> None:
    before = rehearsal.cloud.snapshot()["resources"]
    done = rehearsal.firebase("deploy", "--only", "functions:erasure")
    assert done.returncode == 0, done.stdout
    after = rehearsal.cloud.snapshot()["resources"]
    changed = {name.rsplit("/", 1)[1] for name in after if after[name] != before.get(name) and "/functions/" in name}
    assert changed == CODEBASES["erasure"]
    assert wrong(rehearsal.cloud) == {}


def test_the_vaults_database_gets_its_rules_and_indexes(rehearsal: Rehearsal) -> None:
    before = rehearsal.cloud.snapshot()["resources"]
    done = rehearsal.firebase("deploy", "--config", "firebase.vault.json", "--only", "firestore")
    assert done.returncode == 0, done.stdout
    after = rehearsal.cloud.snapshot()["resources"]
    changed = [name for name in after if after[name] != before.get(name)]
    assert "projects/astra-rehearsal/releases/cloud.firestore/vault" in changed
    assert all("rulesets" in name or "releases" in name or "/databases/vault/" in name for name in changed), changed


def test_a_function_changes_its_codebase_without_being_deleted(rehearsal: Rehearsal) -> None:
    path = rehearsal.folder / "firebase.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for codebase in config["functions"]:
        if codebase["codebase"] == "retention":
            codebase["codebase"] = "keeping"
    path.write_text(json.dumps(config), encoding="utf-8")
    done = rehearsal.firebase("deploy", "--only", "functions:keeping")
    assert done.returncode == 0, done.stdout
    assert [write for write in rehearsal.google.writes if write.startswith("DELETE")] == []
    assert codebases(rehearsal.cloud) == {
        "keeping" if codebase == "retention" else codebase: names for codebase, names in CODEBASES.items()
    }
    assert wrong(rehearsal.cloud) == {}
