"""What a deployment does when a project already has rules: the hooks of firebase.json, as firebase-tools runs them."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from cli import rules
from local.http_stand_in import Fault
from local.paths import ROOT
from tests.rules_api import BUCKET, PROJECT, TEXTS, RulesApi, git, ours

#: Runs the hooks of one target as `firebase deploy` does, from a folder that is not the repository's.
HOOKS = """
const lib = (name) => require(process.env.REPOSITORY + "/node_modules/firebase-tools/lib/" + name);
const [config, target] = process.argv.slice(1);
const options = { projectId: "astra-p", configPath: config, projectRoot: process.env.REPOSITORY, cwd: process.cwd() };
options.config = lib("config").Config.load(options);
lib("deploy/lifecycleHooks").lifecycleHooks(target, "predeploy")({}, options).catch((error) => {
  console.error(error.message);
  process.exit(2);
});
"""
THEIRS = "service cloud.firestore { match /databases/{d}/documents/posts/{p} { allow read; } }\n"
LOCKED = """rules_version = '2';

service cloud.firestore {
  match /databases/{database}/documents {
    // Nobody yet.
    match /{document=**} {
      allow read, write: if false;
    }
  }
}
"""
OPEN = LOCKED.replace("if false", "if request.time < timestamp.date(2027, 1, 1)")
NEWEST = rules.RECORDED["firestore.rules"].version
LATER = TEXTS["firestore.rules"].replace(f"version {NEWEST}", "version 1000")


def first_version() -> str:
    """The text of version 1 of firestore.rules, from the history."""
    log = git("log", "--first-parent", "--reverse", "--format=%H", "--", "firestore.rules")
    return git("show", f"{log.split()[0]}:firestore.rules")


def deploy(
    released: dict[str, str], tmp_path: Path, target: str = "firestore", config: str = "firebase.json", told: str = ""
) -> tuple[int, str]:
    """Run the hooks of `target` against a project; return the exit code and what was said."""
    with RulesApi(released) as api:
        api.token = "owner"  # noqa: S105  (what firebase-tools says on loopback, where it trusts no TLS)
        origins = ("FIREBASE_RULES_URL", "FIREBASE_FIREBASESTORAGE_URL", "FIREBASE_SERVICE_USAGE_URL")
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REPOSITORY": str(ROOT), "CI": "1"}
        environment |= {"FIREBASE_TOKEN": "1//refresh", **dict.fromkeys(origins, api.url)}
        environment |= {"ASTRA_REPLACE_RULES": told} if told else {}
        done = subprocess.run(  # noqa: S603
            ["node", "-e", HOOKS, str(ROOT / config), target],  # noqa: S607
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert "1//refresh" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("released", "why"),
    [
        ({}, "nothing is released yet"),
        (ours(), f"version {NEWEST} of firestore.rules is released"),
        # A release of that name is older than the other database's, whose rules are not replaced by this deployment.
        (
            {"cloud.firestore": first_version(), "cloud.firestore/vault": THEIRS},
            "version 1 of firestore.rules is released",
        ),
        ({"cloud.firestore": LOCKED}, "rules that refuse everything are released"),
    ],
    ids=["nothing", "same", "earlier", "locked"],
)
def test_a_deployment_replaces_rules_that_nobody_loses(released: dict[str, str], why: str, tmp_path: Path) -> None:
    code, said = deploy(released, tmp_path)
    assert code == 0, said
    assert f"cloud.firestore: {why}" in said


@pytest.mark.parametrize(
    "theirs",
    [
        THEIRS,
        OPEN,
        LOCKED.replace("if false", "if false || true"),
        LOCKED.replace(": if false", ""),
        TEXTS["firestore.rules"] + "\n",
        LATER,
    ],
    ids=["theirs", "test mode", "almost locked", "open", "edited", "later"],
)
def test_a_deployment_refuses_to_replace_a_teams_own_rules_and_shows_the_difference(
    theirs: str, tmp_path: Path
) -> None:
    code, said = deploy({"cloud.firestore": theirs}, tmp_path)
    assert code == 2, said
    assert f"cloud.firestore: {PROJECT} has rules that are not this repository's" in said
    gone = set(theirs.splitlines()) - set(TEXTS["firestore.rules"].splitlines())
    assert all(f"\n-{line}\n" in said for line in gone)
    assert f"ASTRA_REPLACE_RULES={hashlib.sha256(theirs.encode()).hexdigest()}" in said


def test_whoever_agrees_agrees_to_lose_exactly_what_was_shown(tmp_path: Path) -> None:
    shown = hashlib.sha256(THEIRS.encode()).hexdigest()
    assert deploy({"cloud.firestore": THEIRS}, tmp_path, told=f"{'0' * 64}, {shown}")[0] == 0
    assert deploy({"cloud.firestore": THEIRS + "\n"}, tmp_path, told=shown)[0] == 2
    assert deploy({"cloud.firestore": THEIRS}, tmp_path, told="yes")[0] == 2


@pytest.mark.parametrize(
    ("config", "target", "release"),
    [
        ("firebase.vault.json", "firestore", "cloud.firestore/vault"),
        ("firebase.json", "storage", f"firebase.storage/{BUCKET}"),
    ],
)
def test_the_other_database_and_the_bucket_are_guarded_too(
    config: str, target: str, release: str, tmp_path: Path
) -> None:
    assert deploy(ours(), tmp_path, target, config)[0] == 0
    code, said = deploy({**ours(), release: THEIRS}, tmp_path, target, config)
    assert (code, f"{release}: {PROJECT} has rules" in said) == (2, True)


def test_their_rules_write_no_commands_to_the_terminal(tmp_path: Path) -> None:
    said = deploy({"cloud.firestore": THEIRS.replace("posts", "\x1b[2J\x9b1A")}, tmp_path)[1]
    assert "match /databases/{d}/documents/?[2J?1A/{p}" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ([Fault("/v1/", 403)], "the deployer needs roles/firebaserules.admin"),
        ([Fault("/oauth2/", 404)], "Your credentials are no longer valid"),
    ],
)
def test_nothing_is_deployed_to_a_project_that_does_not_answer(fault: list[Fault], said: str, tmp_path: Path) -> None:
    with RulesApi({}) as api:
        api.faults = fault
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GCLOUD_PROJECT": PROJECT}
        environment |= {"FIREBASE_TOKEN": "1//refresh", "FIREBASE_RULES_URL": api.url, "FIREBASE_TOKEN_URL": api.url}
        done = subprocess.run(  # noqa: S603
            ["node", str(ROOT / "shared/rules_guard.cjs"), "cloud.firestore", "firestore.rules"],  # noqa: S607
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "so nothing was deployed: " in done.stderr
    assert said in done.stderr
