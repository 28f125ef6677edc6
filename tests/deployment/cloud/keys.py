"""Cloud KMS: key rings, keys and who may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.policies import serves_policies
from tests.deployment.cloud.service import Ask, Json, Refusal, check_name, fields, serves
from tests.deployment.cloud.state import now

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_RINGS: Final = "cloudkms.googleapis.com/v1/projects/{project}/locations/{location}/keyRings"
_KEYS: Final = f"{_RINGS}/{{ring}}/cryptoKeys"
_KEY: Final = fields(
    "purpose rotationPeriod nextRotationTime versionTemplate labels importOnly destroyScheduledDuration"
)


def _ring(ask: Ask) -> str:
    return f"projects/{ask['project']}/locations/{ask['location']}/keyRings/{ask['ring']}"


def _key(ask: Ask) -> str:
    return f"{_ring(ask)}/cryptoKeys/{ask['key']}"


@serves("POST", _RINGS, permission="cloudkms.keyRings.create")
def create_ring(cloud: Cloud, ask: Ask) -> Json:
    """Create a key ring."""
    check_name("Key ring ID", ask.query.get("keyRingId", ""), r"[a-zA-Z0-9_-]{1,63}")
    name = f"projects/{cloud.project}/locations/{ask['location']}/keyRings/{ask.query['keyRingId']}"
    return cloud.create(name, {"name": name, "createTime": now()})


@serves("GET", f"{_RINGS}/{{ring}}", permission="cloudkms.keyRings.get")
def get_ring(cloud: Cloud, ask: Ask) -> Json:
    """Describe a key ring."""
    return cloud.get(_ring(ask))


@serves("POST", _KEYS, permission="cloudkms.cryptoKeys.create")
def create_key(cloud: Cloud, ask: Ask) -> Json:
    """Create a key. One that is rotated must say when first."""
    cloud.get(_ring(ask))
    check_name("Key ID", ask.query.get("cryptoKeyId", ""), r"[a-zA-Z0-9_-]{1,63}")
    body = ask.json(_KEY)
    if ("rotationPeriod" in body) != ("nextRotationTime" in body):
        raise Refusal("INVALID_ARGUMENT", "rotationPeriod and nextRotationTime must be set together.")
    name = f"{_ring(ask)}/cryptoKeys/{ask.query['cryptoKeyId']}"
    return cloud.create(name, {**body, "name": name, "createTime": now()})


@serves("GET", f"{_KEYS}/{{key}}", permission="cloudkms.cryptoKeys.get")
def get_key(cloud: Cloud, ask: Ask) -> Json:
    """Describe a key."""
    return cloud.get(_key(ask))


serves_policies(f"{_KEYS}/{{key}}", "cloudkms.cryptoKeys", _key)
