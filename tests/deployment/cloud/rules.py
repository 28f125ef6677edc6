"""Firebase Rules: rulesets, and the releases that put one into force."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.service import Ask, Json, Refusal, fields, serves
from tests.deployment.cloud.state import now

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_API: Final = "firebaserules.googleapis.com/v1/projects/{project}"
_SOURCE: Final = fields("language", files=[fields("name content fingerprint")])
_RELEASE: Final = fields("name rulesetName createTime updateTime")


@serves("POST", f"{_API}:test", permission="firebaserules.rulesets.test", reads=True)
def test_rules(_cloud: Cloud, ask: Ask) -> Json:
    """Compile rules. The stand-in has no compiler: only their frame is looked at."""
    body = ask.json(fields("testSuite", source=_SOURCE))
    for file in body["source"]["files"]:
        if "service " not in file["content"] or file["content"].count("{") != file["content"].count("}"):
            issue = {"severity": "ERROR", "description": "Unexpected end.", "sourcePosition": {"line": 1, "column": 1}}
            return {"issues": [issue]}
    return {}


@serves("POST", f"{_API}/rulesets", permission="firebaserules.rulesets.create")
def create_ruleset(cloud: Cloud, ask: Ask) -> Json:
    """Keep a ruleset, which nothing follows until it is released."""
    body = ask.json(fields("name attachment_point attachmentPoint", source=_SOURCE))
    name = f"projects/{cloud.project}/rulesets/{len(cloud.resources):08d}-0000-4000-8000-000000000000"
    return cloud.create(name, {**body, "name": name, "createTime": now()})


@serves("GET", f"{_API}/rulesets/{{ruleset}}", permission="firebaserules.rulesets.get")
def get_ruleset(cloud: Cloud, ask: Ask) -> Json:
    """Return a ruleset with its files."""
    return cloud.get(f"projects/{cloud.project}/rulesets/{ask['ruleset']}")


@serves("GET", f"{_API}/releases", permission="firebaserules.releases.list")
def list_releases(cloud: Cloud, _ask: Ask) -> Json:
    """List what is in force."""
    return {"releases": list(cloud.named(f"projects/{cloud.project}/releases/.+").values())}


@serves("GET", f"{_API}/releases/{{release=**}}", permission="firebaserules.releases.get")
def get_release(cloud: Cloud, ask: Ask) -> Json:
    """Describe what is in force for one service or resource."""
    return cloud.get(f"projects/{cloud.project}/releases/{ask['release']}")


@serves("POST", f"{_API}/releases", permission="firebaserules.releases.create")
def create_release(cloud: Cloud, ask: Ask) -> Json:
    """Put a ruleset into force where none was."""
    body = ask.json(_RELEASE)
    cloud.get(body["rulesetName"])
    _check_resource(cloud, body["name"])
    return cloud.create(body["name"], {**body, "createTime": now(), "updateTime": now()})


@serves("PATCH", f"{_API}/releases/{{release=**}}", permission="firebaserules.releases.update")
def update_release(cloud: Cloud, ask: Ask) -> Json:
    """Put a ruleset into force in place of another; the same one again changes nothing."""
    body = ask.json(fields("updateMask", release=_RELEASE))["release"]
    release = cloud.get(f"projects/{cloud.project}/releases/{ask['release']}")
    cloud.get(body["rulesetName"])
    if release["rulesetName"] != body["rulesetName"]:
        release.update(rulesetName=body["rulesetName"], updateTime=now())
    return release


def cross_service_rules(cloud: Cloud) -> dict[str, str]:
    """Released rules of Storage that ask Firestore and are not let in there, and why.

    Nothing refuses such a deployment: the rules refuse every upload.
    """
    agent = f"service-{cloud.number}@gcp-sa-firebasestorage.iam.gserviceaccount.com"
    if cloud.may(f"serviceAccount:{agent}", "datastore.entities.get"):
        return {}
    return {
        name: f"{agent} lacks roles/firebaserules.firestoreServiceAgent"
        for name, release in cloud.named(r"projects/[^/]+/releases/firebase\.storage/.+").items()
        for file in cloud.resources[release["rulesetName"]]["source"]["files"]
        if re.search(r"\bfirestore\.(get|exists)\(", file["content"])
    }


def _check_resource(cloud: Cloud, name: str) -> None:
    service, _, resource = name.partition("/releases/")[2].partition("/")
    if service == "firebase.storage":
        known = f"b/{resource}" in cloud.resources
    else:
        known = (
            service == "cloud.firestore"
            and f"projects/{cloud.project}/databases/{resource or '(default)'}" in cloud.resources
        )
    if not known:
        raise Refusal("NOT_FOUND", f"There is nothing that the release '{name}' could be for.")
