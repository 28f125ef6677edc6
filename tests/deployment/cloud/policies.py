"""IAM policies of any resource: what Google refuses in them, and the three methods that each API has for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.permissions import ROLES
from tests.deployment.cloud.service import Ask, Json, Refusal, fields, serves

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.deployment.cloud.state import Cloud

_BINDING: Final = fields("role members", condition=fields("title description expression location"))
POLICY: Final = fields("version etag auditConfigs kind resourceId", bindings=[_BINDING])
_EMAIL: Final = r"[^@\s:]+@[a-z0-9][a-z0-9.-]*\.[a-z]{2,}"
_ATTRIBUTE: Final = re.compile(r"\b(resource\.(name|type|service)|request\.time)\b")
_ROLE: Final = r"roles/[A-Za-z0-9_.]+|projects/[a-z0-9-]+/roles/[A-Za-z0-9_.]{3,64}"


def check_policy(cloud: Cloud, policy: Json, *, public: bool) -> None:
    """Refuse malformed or unknown members and roles, conditions before version 3, and the public unless allowed."""
    for binding in policy.get("bindings", []):
        role = binding.get("role", "")
        if not re.fullmatch(_ROLE, role):
            raise Refusal("INVALID_ARGUMENT", f"Role ({role}) does not exist in the resource's hierarchy.")
        if role not in (ROLES if role.startswith("roles/") else cloud.resources):
            raise Refusal("INVALID_ARGUMENT", f"Role {role} is not supported for this resource.")
        if "condition" in binding and policy.get("version") != 3:
            raise Refusal("INVALID_ARGUMENT", "Policies with conditional role bindings must have version 3.")
        if "condition" in binding:
            _check_condition(binding["condition"])
        for member in binding.get("members", []):
            check_member(cloud, member, public=public)


def _check_condition(condition: Json) -> None:
    """Refuse a condition without a title, or that is plainly not an expression over the resource or the request."""
    expression = condition.get("expression", "")
    balanced = all(expression.count(one) == expression.count(other) for one, other in ("()", "[]"))
    if not balanced or expression.count("'") % 2 or expression.count('"') % 2 or not _ATTRIBUTE.search(expression):
        raise Refusal("INVALID_ARGUMENT", f"Condition expression compilation failed: {expression}")
    if not condition.get("title"):
        raise Refusal("INVALID_ARGUMENT", "The condition's title is missing.")


def check_member(cloud: Cloud, member: str, *, public: bool) -> None:
    """Refuse a member that is malformed, or a service account that does not exist."""
    if member in ("allUsers", "allAuthenticatedUsers"):
        if not public:
            raise Refusal("INVALID_ARGUMENT", f"The member {member} is of an unknown type for this resource.")
        return
    kind, _, address = member.partition(":")
    if kind not in ("user", "serviceAccount", "group", "domain"):
        raise Refusal("INVALID_ARGUMENT", f"The member {member} is of an unknown type. Please set a valid type prefix.")
    if kind != "domain" and not re.fullmatch(_EMAIL, address):
        raise Refusal("INVALID_ARGUMENT", f"Invalid service account ({address})." if kind != "user" else member)
    if kind == "serviceAccount" and not cloud.has_account(address):
        raise Refusal("INVALID_ARGUMENT", f"Service account {address} does not exist.")


def serves_policies(
    template: str, permission: str, name: Callable[[Ask], str], *, get: str = "GET", public: bool = False
) -> None:
    """Register getIamPolicy, setIamPolicy and testIamPermissions of the resources at `template`.

    `permission` is their prefix, `name` gives the resource's full name, which must exist.
    """

    @serves(get, f"{template}:getIamPolicy", reads=True)
    def get_policy(cloud: Cloud, ask: Ask) -> Json:
        resource = name(ask)
        cloud.require(ask.caller, f"{permission}.getIamPolicy", resource)
        cloud.get(resource)
        return cloud.policy(resource)

    @serves("POST", f"{template}:setIamPolicy")
    def set_policy(cloud: Cloud, ask: Ask) -> Json:
        resource = name(ask)
        body = ask.json(fields("updateMask", policy=POLICY))
        cloud.require(ask.caller, f"{permission}.setIamPolicy", resource)
        cloud.get(resource)
        check_policy(cloud, body["policy"], public=public)
        return cloud.set_policy(resource, body["policy"])

    @serves("POST", f"{template}:testIamPermissions", reads=True)
    def test_permissions(cloud: Cloud, ask: Ask) -> Json:
        resource = name(ask)
        cloud.get(resource)
        asked = ask.json(fields("permissions"))["permissions"]
        return {"permissions": [one for one in asked if cloud.may(ask.caller, one, resource)]}
