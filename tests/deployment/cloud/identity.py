"""Identity Platform: the project's configuration, with its blocking functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, fields, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_CONFIG: Final = "identitytoolkit.googleapis.com/admin/v2/projects/{project}/config"
_TRIGGER: Final = fields("functionUri updateTime")
_SHAPE: Final = fields(
    "name signIn notification quota monitoring multiTenant authorizedDomains mfa emailPrivacyConfig "
    "autodeleteAnonymousUsers",
    client=fields("apiKey", permissions=fields("disabledUserSignup disabledUserDeletion")),
    blockingFunctions=fields(
        "",
        triggers=fields(
            "", beforeCreate=_TRIGGER, beforeSignIn=_TRIGGER, beforeSendEmail=_TRIGGER, beforeSendSms=_TRIGGER
        ),
        forwardInboundCredentials=fields("idToken accessToken refreshToken"),
    ),
)


@serves("GET", _CONFIG, permission="firebaseauth.configs.get")
def get_config(cloud: Cloud, ask: Ask) -> Json:
    """Return the configuration. Before Identity Platform is turned on there is none."""
    return _config(cloud)


@serves("PATCH", _CONFIG, permission="firebaseauth.configs.update")
def update_config(cloud: Cloud, ask: Ask) -> Json:
    """Change the configuration. Each blocking function must be one of the project's, open to all."""
    config = _config(cloud)
    body = ask.json(_SHAPE)
    for kind, trigger in body.get("blockingFunctions", {}).get("triggers", {}).items():
        _check_uri(cloud, kind, trigger.get("functionUri", ""))
    apply_mask(config, body, ask.mask(), _SHAPE)
    return config


def _config(cloud: Cloud) -> Json:
    name = f"projects/{cloud.project}/config"
    if name not in cloud.resources:
        raise Refusal("NOT_FOUND", "CONFIGURATION_NOT_FOUND")
    return cloud.resources[name]


def _check_uri(cloud: Cloud, kind: str, uri: str) -> None:
    if not re.fullmatch(r"https://[a-z0-9.-]+(/\w+)?", uri):
        raise Refusal("INVALID_ARGUMENT", f"INVALID_BLOCKING_FUNCTION : {kind}: '{uri}' is not a URL.")
    functions = cloud.named(r"projects/[^/]+/locations/[^/]+/functions/[^/]+").values()
    if not any(uri in (one.get("url"), one["serviceConfig"].get("uri")) for one in functions):
        raise Refusal("INVALID_ARGUMENT", f"INVALID_BLOCKING_FUNCTION : {kind}: there is no function at {uri}.")
