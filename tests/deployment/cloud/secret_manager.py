"""Secret Manager: secrets, their versions, and who may read them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import google_crc32c

from tests.deployment.cloud.policies import serves_policies
from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, check_name, fields, serves
from tests.deployment.cloud.state import now

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_SECRETS: Final = "secretmanager.googleapis.com/v1/projects/{project}/secrets"
_ONE: Final = f"{_SECRETS}/{{secret}}"
_SECRET: Final = fields("name replication labels annotations topics expireTime ttl etag versionAliases")


def _name(ask: Ask) -> str:
    return f"projects/{ask['project']}/secrets/{ask['secret']}"


@serves("GET", _SECRETS, permission="secretmanager.secrets.list")
def list_secrets(cloud: Cloud, _ask: Ask) -> Json:
    """List secrets."""
    return {"secrets": cloud.under(f"projects/{cloud.project}", "secrets")}


@serves("POST", _SECRETS, permission="secretmanager.secrets.create")
def create_secret(cloud: Cloud, ask: Ask) -> Json:
    """Create a secret without a version. It must say where it is kept."""
    identifier = ask.query.get("secretId", "")
    check_name("Secret ID", identifier, r"[a-zA-Z0-9_-]{1,255}")
    body = ask.json(_SECRET)
    if not body.get("replication"):
        raise Refusal("INVALID_ARGUMENT", "The replication policy is missing.")
    name = f"projects/{cloud.project}/secrets/{identifier}"
    return cloud.create(name, {**body, "name": name.replace(cloud.project, cloud.number, 1), "createTime": now()})


@serves("GET", _ONE, permission="secretmanager.secrets.get")
def get_secret(cloud: Cloud, ask: Ask) -> Json:
    """Describe a secret."""
    return cloud.get(_name(ask))


@serves("PATCH", _ONE, permission="secretmanager.secrets.update")
def update_secret(cloud: Cloud, ask: Ask) -> Json:
    """Change a secret's labels."""
    secret = cloud.get(_name(ask))
    apply_mask(secret, ask.json(_SECRET), ask.mask(), _SECRET)
    return secret


@serves("POST", f"{_ONE}:addVersion", permission="secretmanager.versions.add")
def add_version(cloud: Cloud, ask: Ask) -> Json:
    """Add a version. Its payload is kept nowhere."""
    secret = _name(ask)
    cloud.get(secret)
    payload = ask.json(fields("", payload=fields("data dataCrc32c")))["payload"]
    try:
        content = base64.b64decode(payload["data"], validate=True)
    except binascii.Error:
        raise Refusal("INVALID_ARGUMENT", "Invalid value at 'payload.data': base64 is expected.") from None
    if not content:
        raise Refusal("INVALID_ARGUMENT", "Secret payload cannot be empty.")
    checksum = payload.get("dataCrc32c")
    if checksum is not None and int(checksum) != google_crc32c.value(content):
        raise Refusal("INVALID_ARGUMENT", "The payload does not match its checksum.")
    name = f"{secret}/versions/{len(cloud.under(secret, 'versions')) + 1}"
    version = {"name": name.replace(cloud.project, cloud.number, 1), "state": "ENABLED", "createTime": now()}
    return cloud.create(name, version) | {"clientSpecifiedPayloadChecksum": checksum is not None}


@serves("GET", f"{_ONE}/versions", permission="secretmanager.versions.list")
def list_versions(cloud: Cloud, ask: Ask) -> Json:
    """List a secret's versions, the newest first."""
    return {"versions": _versions(cloud, ask)[::-1]}


def _versions(cloud: Cloud, ask: Ask) -> list[Json]:
    """Return a secret's versions, the oldest first."""
    return sorted(cloud.under(_name(ask), "versions"), key=lambda one: int(one["name"].rsplit("/", 1)[1]))


@serves("GET", f"{_ONE}/versions/{{version}}", permission="secretmanager.versions.get")
def get_version(cloud: Cloud, ask: Ask) -> Json:
    """Describe a version; `latest` is the newest."""
    versions = _versions(cloud, ask)
    if ask["version"] == "latest":
        if not versions:
            raise Refusal("NOT_FOUND", f"Secret [{_name(ask)}] not found or has no versions.")
        return versions[-1]
    return cloud.get(f"{_name(ask)}/versions/{ask['version']}")


serves_policies(_ONE, "secretmanager.secrets", _name)
