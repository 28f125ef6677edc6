"""OAuth 2.0 tokens, and IAM: service accounts and the project's own roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.permissions import may_be_in_own_role
from tests.deployment.cloud.policies import serves_policies
from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, check_name, fields, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_ACCOUNTS: Final = "iam.googleapis.com/v1/projects/{project}/serviceAccounts"
_ROLES: Final = "iam.googleapis.com/v1/projects/{project}/roles"
_ROLE: Final = fields("title description includedPermissions stage etag name")


@serves("POST", "www.googleapis.com/oauth2/v3/token", "oauth2.googleapis.com/token", reads=True, public=True)
def exchange(cloud: Cloud, ask: Ask) -> Json:
    """Exchange a refresh token for an access token."""
    form = ask.form
    if form.get("grant_type") != "refresh_token" or form.get("refresh_token") not in cloud.tokens:
        raise Refusal("UNAUTHENTICATED", "invalid_grant")
    token = cloud.token_for(cloud.tokens[form["refresh_token"]])
    return {"access_token": token, "expires_in": 3599, "token_type": "Bearer", "scope": form.get("scope", "")}


@serves("POST", "www.google-analytics.com/mp/collect", reads=True, public=True)
def collect(_cloud: Cloud, _ask: Ask) -> Json:
    """Take telemetry and forget it."""
    return {}


@serves("POST", _ACCOUNTS, permission="iam.serviceAccounts.create")
def create_account(cloud: Cloud, ask: Ask) -> Json:
    """Create a service account."""
    body = ask.json(fields("accountId", serviceAccount=fields("displayName description")))
    check_name("Service account ID", body.get("accountId", ""), r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
    email = f"{body['accountId']}@{cloud.project}.iam.gserviceaccount.com"
    name = f"projects/{cloud.project}/serviceAccounts/{email}"
    number = str(10**20 + len(cloud.resources))
    account = {"name": name, "projectId": cloud.project, "uniqueId": number, "email": email, "etag": "MDEwMjE5MjA="}
    return cloud.create(name, account | {"oauth2ClientId": number} | body.get("serviceAccount", {}))


@serves("GET", _ACCOUNTS, permission="iam.serviceAccounts.list")
def list_accounts(cloud: Cloud, _ask: Ask) -> Json:
    """List service accounts."""
    return {"accounts": cloud.under(f"projects/{cloud.project}", "serviceAccounts")}


@serves("GET", f"{_ACCOUNTS}/{{account}}", permission="iam.serviceAccounts.get")
def get_account(cloud: Cloud, ask: Ask) -> Json:
    """Describe a service account."""
    return cloud.get(_account(ask))


def _account(ask: Ask) -> str:
    return f"projects/{ask['project']}/serviceAccounts/{ask['account']}"


# IAM reads the policy of a service account by POST, other services by GET.
serves_policies(f"{_ACCOUNTS}/{{account}}", "iam.serviceAccounts", _account, get="POST")


@serves("POST", _ROLES, permission="iam.roles.create")
def create_role(cloud: Cloud, ask: Ask) -> Json:
    """Create a role of the project's own."""
    body = ask.json(fields("roleId", role=_ROLE))
    _check_permissions(body["role"])
    check_name("Role ID", body.get("roleId", ""), r"[A-Za-z0-9_.]{3,64}")
    name = f"projects/{cloud.project}/roles/{body['roleId']}"
    return cloud.create(name, {"includedPermissions": [], **body["role"], "name": name, "etag": "BwYxMjM0NTY="})


@serves("GET", f"{_ROLES}/{{role}}", permission="iam.roles.get")
def get_role(cloud: Cloud, ask: Ask) -> Json:
    """Describe a role of the project's own."""
    return cloud.get(f"projects/{cloud.project}/roles/{ask['role']}")


@serves("PATCH", f"{_ROLES}/{{role}}", permission="iam.roles.update")
def update_role(cloud: Cloud, ask: Ask) -> Json:
    """Change a role of the project's own."""
    role = cloud.get(f"projects/{cloud.project}/roles/{ask['role']}")
    body = ask.json(_ROLE)
    _check_permissions(body)
    apply_mask(role, body, ask.mask(), _ROLE)
    return role


def _check_permissions(role: Json) -> None:
    for permission in role.get("includedPermissions", []):
        if not may_be_in_own_role(permission):
            raise Refusal("INVALID_ARGUMENT", f"Permission {permission} is not valid.")


@serves("POST", "iam.googleapis.com/v1/permissions:queryTestablePermissions", reads=True)
def testable_permissions(_cloud: Cloud, ask: Ask) -> Json:
    """List permissions that a role of one's own may hold: those that this project's own role needs."""
    ask.json(fields("fullResourceName pageSize pageToken"))
    names = ("iam.serviceAccountKeys.disable", "iam.serviceAccountKeys.enable")
    return {"permissions": [{"name": name, "stage": "GA"} for name in names]}
