"""Artifact Registry: the repository of the functions' images and its cleanup policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, fields, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_PLACE: Final = "artifactregistry.googleapis.com/{version}/projects/{project}/locations/{location}"
_SHAPE: Final = fields("name format description labels cleanupPolicies cleanupPolicyDryRun mode dockerConfig")


def _name(ask: Ask) -> str:
    return f"projects/{ask['project']}/locations/{ask['location']}/repositories/{ask['repository']}"


@serves("GET", f"{_PLACE}/repositories/{{repository}}", permission="artifactregistry.repositories.get")
def get_repository(cloud: Cloud, ask: Ask) -> Json:
    """Describe a repository."""
    return cloud.get(_name(ask))


@serves("POST", f"{_PLACE}/repositories", permission="artifactregistry.repositories.create")
def create_repository(cloud: Cloud, ask: Ask) -> Json:
    """Create a repository."""
    parent = f"projects/{cloud.project}/locations/{ask['location']}"
    identifier = ask.query.get("repositoryId") or ask.query.get("repository_id", "")
    name = f"{parent}/repositories/{identifier}"
    repository = cloud.create(name, {**ask.json(_SHAPE), "name": name})
    return cloud.start(parent, lambda: repository).body


@serves("PATCH", f"{_PLACE}/repositories/{{repository}}", permission="artifactregistry.repositories.update")
def update_repository(cloud: Cloud, ask: Ask) -> Json:
    """Change a repository's labels or cleanup policies, each of which says how old an image must be."""
    repository = cloud.get(_name(ask))
    body = ask.json(_SHAPE)
    for policy in body.get("cleanupPolicies", {}).values():
        if not re.fullmatch(r"\d+s", policy.get("condition", {}).get("olderThan", "")):
            raise Refusal("INVALID_ARGUMENT", f"Invalid cleanup policy {policy}.")
    apply_mask(repository, body, [path for path in ask.mask() if path != "name"], _SHAPE)
    return repository


@serves("GET", f"{_PLACE}/operations/{{operation}}")
def get_operation(cloud: Cloud, ask: Ask) -> Json:
    """Say how far an operation is."""
    name = f"projects/{cloud.project}/locations/{ask['location']}/operations/{ask['operation']}"
    if name not in cloud.operations:
        raise Refusal("NOT_FOUND", f"Operation {name} was not found")
    return cloud.operations[name].body
