"""The whole life of a deployment: refused, killed half way, complete, unchanged, in part, and moved.

The scenarios build upon each other: each finds the project as the one before it has left it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from local.deployment import archives, grants
from local.paths import ROOT
from local.stack import firebase_json
from local.stack.progress import Steps
from tests.deployment.cloud.event_triggers import undelivered
from tests.deployment.cloud.rules import cross_service_rules
from tests.deployment.cloud.state import now
from tests.deployment.deployed import codebases, wrong
from tests.deployment.expected import CODEBASES
from tests.deployment.page import script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.deployment.rehearsal import Rehearsal

#: Asked by every deployment, and without effect where nothing has changed.
WITHOUT_EFFECT = re.compile(
    r"POST serviceusage\.googleapis\.com/v1beta1/projects/\d+/services/(pubsub|eventarc)\.googleapis\.com"
    r":generateServiceIdentity|PATCH firebaserules\.googleapis\.com/v1/projects/[a-z-]+/releases/.+"
)
REPOSITORY = "projects/astra-rehearsal/locations/us-central1/repositories/gcf-artifacts"
CREATION = r"POST cloudfunctions\.googleapis\.com/v2/projects/[^/]+/locations/[^/]+/functions$"
#: firebase-tools asks for 40 at once: by then some are released, and others under way.
KILLED_AT = 45
# The first test waits for some hundred commands that set the project up.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def only_known_requests(rehearsal: Rehearsal) -> Iterator[None]:
    """Fail by name on whatever a command asked of Google that the stand-in does not know."""
    rehearsal.google.forget()
    yield
    assert rehearsal.google.unknown == []


def functions_in(rehearsal: Rehearsal) -> set[str]:
    return {name.rsplit("/", 1)[1] for name in rehearsal.cloud.named(r".+/functions/.+")}


def releases(rehearsal: Rehearsal) -> set[str]:
    return {name.partition("/releases/")[2] for name in rehearsal.cloud.named(r".+/releases/.+")}


def ci(rehearsal: Rehearsal) -> str:
    return f"serviceAccount:deploy@{rehearsal.cloud.project}.iam.gserviceaccount.com"


def changed(before: dict[str, object], after: dict[str, object]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def test_ci_stops_at_a_parameter_that_has_no_value_even_if_it_has_a_default(rehearsal: Rehearsal) -> None:
    values = rehearsal.settings.read_text(encoding="utf-8")
    rehearsal.settings.write_text("", encoding="utf-8")
    done = rehearsal.firebase("deploy", "--only", "functions:uploads")
    rehearsal.settings.write_text(values, encoding="utf-8")
    assert done.returncode != 0
    assert "have no value for the following environment variables: ASTRA_REGION, ASTRA_KMS_URI" in done.stdout
    assert functions_in(rehearsal) == set()


@pytest.mark.parametrize(
    ("codebase", "reason"),
    [("breach", "functions with a failure policy"), ("signup", "functions that increase the minimum bill")],
)
def test_ci_stops_before_it_creates_anything_that_costs_more_unless_told(
    rehearsal: Rehearsal, codebase: str, reason: str
) -> None:
    done = rehearsal.firebase("deploy", "--only", f"functions:{codebase}")
    assert done.returncode != 0
    assert f"Pass the --force option to deploy {reason}" in done.stdout
    assert functions_in(rehearsal) == set()


def test_ci_stops_where_it_may_not_act_as_the_account_of_an_old_projects_app(rehearsal: Rehearsal) -> None:
    """A project that once had App Engine, or functions of the first generation, has this account."""
    email = f"{rehearsal.cloud.project}@appspot.gserviceaccount.com"
    name = f"projects/{rehearsal.cloud.project}/serviceAccounts/{email}"
    rehearsal.cloud.create(name, {"name": name, "email": email, "projectId": rehearsal.cloud.project})
    rehearsal.caller = ci(rehearsal)
    done = rehearsal.firebase("deploy", "--only", "functions:retention")
    rehearsal.caller = rehearsal.cloud.owner
    rehearsal.cloud.delete(name)
    assert done.returncode != 0
    assert "You must have permission iam.serviceAccounts.ActAs on service account" in done.stdout
    assert email in done.stdout
    assert functions_in(rehearsal) == set()


def test_a_deployment_killed_half_way_leaves_functions_that_none_would_complete(rehearsal: Rehearsal) -> None:
    """Such a function has its code, and so is taken for unchanged, but its caller, job or queue is missing.

    Whatever the run had begun and not said to be done is deleted, as `docs/deploy.md` says: also what Google makes of a
    request that nobody waits for any more.
    """
    with (
        rehearsal.started("deploy", "--force") as process,
        rehearsal.google.when_asked(CREATION, lambda: os.killpg(process.pid, signal.SIGKILL), KILLED_AT),
    ):
        output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    rehearsal.proxy.rest()
    begun = set(re.findall(r"creating Python 3\.11 \(2nd Gen\) function (?:\w+:)?(\w+)\(", output))
    ended = set(re.findall(r"functions\[(?:\w+:)?(\w+)\(.*\] Successful create", output))
    unfinished = sorted(begun - ended)
    assert {*unfinished} & functions_in(rehearsal)
    done = rehearsal.firebase("functions:delete", *unfinished, "--force")
    assert done.returncode == 0, done.stdout
    assert functions_in(rehearsal) == ended
    # From here on, CI deploys: also what the first run, which only the owner can begin, has not come to.
    rehearsal.caller = ci(rehearsal)


def test_the_next_deployment_completes_it_although_google_is_busy_at_times(rehearsal: Rehearsal) -> None:
    rehearsal.cloud.busy = 1
    rehearsal.sh(script(rehearsal.cloud.project, "6. "), deploys=True)
    assert rehearsal.cloud.busy == 0
    assert wrong(rehearsal.cloud, let_in=False) == {}
    assert codebases(rehearsal.cloud) == CODEBASES
    assert {"cloud.firestore", "cloud.firestore/vault"} <= releases(rehearsal)
    assert f"firebase.storage/{rehearsal.cloud.project}.firebasestorage.app" in releases(rehearsal)
    assert rehearsal.cloud.limits == {}, "more vCPU than a new project has"


def test_what_was_uploaded_is_what_the_tests_serve_the_functions_from(rehearsal: Rehearsal, tmp_path: Path) -> None:
    archives.pack(firebase_json.read()["functions"], ROOT, tmp_path, Steps(1))
    for codebase in CODEBASES:
        files = (path for path in (tmp_path / codebase).rglob("*") if path.is_file())
        packed = {path.relative_to(tmp_path / codebase).as_posix(): path.read_bytes() for path in files}
        for archive in rehearsal.uploaded(codebase):
            assert archive == packed


def test_the_senders_of_events_and_tasks_are_let_in_after_the_first_deployment(rehearsal: Rehearsal) -> None:
    assert len(undelivered(rehearsal.cloud)) == 2
    rehearsal.caller = rehearsal.cloud.owner
    rehearsal.sh(script(rehearsal.cloud.project, "7. "))
    rehearsal.caller = ci(rehearsal)
    assert undelivered(rehearsal.cloud) == {}
    assert wrong(rehearsal.cloud) == {}


def test_nobody_holds_a_role_on_the_project_that_this_repository_did_not_mean_them_to(rehearsal: Rehearsal) -> None:
    cloud = rehearsal.cloud
    meant: dict[str, Any] = {}
    list(grants.add(meant, cloud.project, cloud.number))
    taken_back = {(f"serviceAccount:{cloud.build_account}", role, "") for role in grants.ROLES_OF_FIRST_DEPLOYMENT}
    wanted = roles(meant) - taken_back | {(cloud.owner, "roles/owner", "")}
    assert roles(cloud.policy(f"projects/{cloud.project}")) == wanted


@pytest.mark.parametrize(
    "permission",
    [
        *("datastore.entities.get", "firebaseauth.users.get", "storage.objects.get", "secretmanager.versions.access"),
        *("resourcemanager.projects.setIamPolicy", "secretmanager.secrets.setIamPolicy"),
    ],
)
def test_ci_reads_nobodys_data_and_grants_no_role(rehearsal: Rehearsal, permission: str) -> None:
    assert not rehearsal.cloud.may(ci(rehearsal), permission)


def roles(policy: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return each member of a policy with a role and its condition."""
    return {
        (member, binding["role"], binding.get("condition", {}).get("expression", ""))
        for binding in policy["bindings"]
        for member in binding["members"]
    }


def test_the_rules_of_storage_may_ask_firestore_without_a_person_who_grants_it(rehearsal: Rehearsal) -> None:
    assert cross_service_rules(rehearsal.cloud) == {}


def test_no_policy_of_a_secret_or_of_the_project_is_replaced_blindly(rehearsal: Rehearsal) -> None:
    """Without the etag that was read with it, a grant that somebody made meanwhile would be lost."""
    blindly = {resource for resource in rehearsal.cloud.replaced_blindly if resource.startswith("projects/")}
    assert {resource for resource in blindly if "/services/" not in resource} == set()


def test_deploying_again_writes_nothing_and_needs_no_force(rehearsal: Rehearsal) -> None:
    before = rehearsal.cloud.snapshot()
    done = rehearsal.firebase("deploy")
    assert done.returncode == 0, done.stdout
    assert [write for write in rehearsal.google.writes if not WITHOUT_EFFECT.fullmatch(write)] == []
    assert rehearsal.cloud.snapshot() == before


def test_one_codebase_is_deployed_and_no_other(rehearsal: Rehearsal) -> None:
    before = rehearsal.cloud.snapshot()
    done = rehearsal.firebase("deploy", "--only", "functions:erasure")
    assert done.returncode == 0, done.stdout
    after = rehearsal.cloud.snapshot()
    functions = {name for name in changed(before["resources"], after["resources"]) if "/functions/" in name}
    assert {name.rsplit("/", 1)[1] for name in functions} == CODEBASES["erasure"]
    assert after["policies"] == before["policies"]
    assert wrong(rehearsal.cloud) == {}


def test_ci_ends_in_an_error_after_a_good_deployment_unless_old_images_are_deleted(rehearsal: Rehearsal) -> None:
    policies = rehearsal.cloud.resources[REPOSITORY].pop("cleanupPolicies")
    done = rehearsal.firebase("deploy", "--only", "functions:retention")
    assert done.returncode != 0
    assert "Functions successfully deployed but could not set up cleanup policy" in done.stdout
    rehearsal.caller = rehearsal.cloud.owner
    done = rehearsal.firebase("functions:artifacts:setpolicy", "--location", "us-central1", "--days", "1", "--force")
    rehearsal.caller = ci(rehearsal)
    assert done.returncode == 0, done.stdout
    assert rehearsal.cloud.resources[REPOSITORY]["cleanupPolicies"] == policies
    assert wrong(rehearsal.cloud) == {}


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


def test_only_force_deletes_a_function_that_is_no_longer_there(rehearsal: Rehearsal) -> None:
    main = rehearsal.folder / "functions/usage/main.py"
    main.write_text(re.sub(r"(?m)^def flush", "def flush_all", main.read_text(encoding="utf-8")), encoding="utf-8")
    done = rehearsal.firebase("deploy", "--only", "functions:usage")
    assert done.returncode != 0
    assert "Aborting because deletion cannot proceed in non-interactive mode" in done.stdout
    assert "flush_all" not in functions_in(rehearsal)
    done = rehearsal.firebase("deploy", "--only", "functions:usage", "--force")
    assert done.returncode == 0, done.stdout
    assert "flush" not in functions_in(rehearsal)


@pytest.mark.parametrize(
    ("target", "release"), [("firestore", "cloud.firestore"), ("storage", "firebase.storage/{bucket}")]
)
def test_a_teams_own_rules_are_replaced_only_once_it_agrees_to_lose_exactly_these(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, target: str, release: str
) -> None:
    cloud = rehearsal.cloud
    rules = f"service {release.partition('/')[0]} {{ /* the team's */ }}\n"
    theirs = f"projects/{cloud.project}/rulesets/of-{target}"
    name = f"projects/{cloud.project}/releases/{release.format(bucket=f'{cloud.project}.firebasestorage.app')}"
    times = {"createTime": now(), "updateTime": now()}
    cloud.resources[theirs] = {"name": theirs, "source": {"files": [{"name": "x.rules", "content": rules}]}, **times}
    cloud.resources[name] = {"name": name, "rulesetName": theirs, **times}
    before = cloud.snapshot()
    done = rehearsal.firebase("deploy", "--only", target)
    assert done.returncode != 0
    assert "-" + rules in done.stdout
    assert cloud.snapshot() == before
    agreed = {**rehearsal.environment(), "ASTRA_REPLACE_RULES": hashlib.sha256(rules.encode()).hexdigest()}
    monkeypatch.setattr(rehearsal, "environment", lambda: agreed)
    done = rehearsal.firebase("deploy", "--only", target)
    assert done.returncode == 0, done.stdout
    assert cloud.resources[name]["rulesetName"] != theirs
