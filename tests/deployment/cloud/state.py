"""State of the rehearsed project: resources by full name, IAM policies with etags, operations that take their time."""

from __future__ import annotations

import base64
import copy
import itertools
import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.permissions import grants
from tests.deployment.cloud.service import Json, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long an operation takes: longer than the first poll, which clients send at once.
OPERATION_SECONDS: Final = 0.2
#: Enabled in every new Firebase project.
FIRST_APIS: Final = (
    "firebase.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
    "firebaserules.googleapis.com",
    "identitytoolkit.googleapis.com",
    "storage.googleapis.com",
)


@dataclass
class Operation:
    """A long-running operation: `finish` returns its response or raises Refusal, once, when it is due."""

    name: str
    due: float
    finish: Callable[[], Json]
    metadata: Json
    response: Json | None = None
    error: Json | None = None

    @property
    def body(self) -> Json:
        """The operation as its API returns it."""
        base = {"name": self.name, "metadata": self.metadata}
        if self.response is not None:
            return base | {"done": True, "response": self.response}
        if self.error is not None:
            return base | {"done": True, "error": self.error}
        return base


class Cloud:
    """One project. Its owner is `owner`; other callers hold what its IAM policies grant them."""

    def __init__(self, project: str = "astra-rehearsal", number: str = "412345678901") -> None:
        self.project, self.number = project, number
        self.owner = f"user:owner@{project}.example"
        self.resources: dict[str, Json] = {}
        self.policies: dict[str, Json] = {}
        self.operations: dict[str, Operation] = {}
        self.apis: set[str] = set(FIRST_APIS)
        #: E-mail addresses of accounts that Google made: service agents and default accounts.
        self.agents: set[str] = set()
        #: Access tokens and who holds them; refresh tokens likewise.
        self.tokens: dict[str, str] = {}
        #: Sources that were uploaded, by object name.
        self.uploads: dict[str, bytes] = {}
        #: The next creations of functions that are refused with 429.
        self.busy = 0
        self.limits: Counter[str] = Counter()
        #: How often Cloud Monitoring denies that a new metric of log entries exists, and how often it still will.
        self.metric_refusals = 1
        self.not_yet_known: Counter[str] = Counter()
        #: Resources whose policy was replaced without its etag.
        self.replaced_blindly: list[str] = []
        self._numbers = itertools.count(1)
        self.policies[f"projects/{project}"] = {
            "bindings": [{"role": "roles/owner", "members": [self.owner]}],
            "generation": 1,
        }

    # Resources

    def get(self, name: str) -> Json:
        """The resource of that name. Raise NOT_FOUND if there is none."""
        if name not in self.resources:
            raise Refusal("NOT_FOUND", f"Resource '{name}' was not found")
        return self.resources[name]

    def create(self, name: str, body: Json) -> Json:
        """Keep a new resource. Raise ALREADY_EXISTS if there is one of that name."""
        if name in self.resources:
            raise Refusal("ALREADY_EXISTS", f"Resource '{name}' already exists")
        self.resources[name] = body
        return body

    def delete(self, name: str) -> None:
        """Forget a resource and its policy. Raise NOT_FOUND if there is none."""
        self.get(name)
        del self.resources[name]
        self.policies.pop(name, None)

    def under(self, parent: str, kind: str) -> list[Json]:
        """All resources `parent/kind/ID`; a `-` in `parent` is any one."""
        pattern = re.compile(re.escape(parent).replace(r"/\-", "/[^/]+") + f"/{kind}/[^/]+")
        return [body for name, body in sorted(self.resources.items()) if pattern.fullmatch(name)]

    def named(self, pattern: str) -> dict[str, Json]:
        """All resources whose whole name matches."""
        return {name: body for name, body in sorted(self.resources.items()) if re.fullmatch(pattern, name)}

    # Operations

    def start(
        self, prefix: str, finish: Callable[[], Json], metadata: Json | None = None, seconds: float = OPERATION_SECONDS
    ) -> Operation:
        """Begin what takes a while."""
        name = f"{prefix}/operations/operation-{next(self._numbers)}".lstrip("/")
        operation = Operation(name, time.monotonic() + seconds, finish, metadata or {})
        self.operations[name] = operation
        return operation

    def settle(self) -> None:
        """Finish the operations that are due, whether or not anybody asks for them."""
        for operation in list(self.operations.values()):
            if operation.response is None and operation.error is None and operation.due <= time.monotonic():
                try:
                    operation.response = operation.finish()
                except Refusal as refused:
                    operation.error = refused.in_operation

    def running(self) -> int:
        """How many operations are not finished."""
        return sum(operation.response is None and operation.error is None for operation in self.operations.values())

    # Accounts and policies

    @property
    def build_account(self) -> str:
        """The default compute account, under which functions are built."""
        return f"{self.number}-compute@developer.gserviceaccount.com"

    def agent(self, service: str) -> str:
        """The service agent of a Google service, made when it is first asked for."""
        email = f"service-{self.number}@{service}.iam.gserviceaccount.com"
        self.agents.add(email)
        return email

    def has_account(self, email: str) -> bool:
        """True if a service account of that address exists."""
        return email in self.agents or f"projects/{self.project}/serviceAccounts/{email}" in self.resources

    def policy(self, resource: str) -> Json:
        """The IAM policy of a resource, with its etag."""
        kept = self.policies.get(resource, {"bindings": [], "generation": 0})
        body = {"version": 1, "etag": _etag(kept["generation"]), **copy.deepcopy({**kept, "generation": None})}
        del body["generation"]
        if any("condition" in binding for binding in kept["bindings"]):
            body["version"] = 3
        return body

    def set_policy(self, resource: str, policy: Json) -> Json:
        """Replace a policy. Raise ABORTED if it has changed since its etag was read.

        Without an etag it is replaced whatever it was, as Google does: a grant made in between is lost.
        """
        kept = self.policies.setdefault(resource, {"bindings": [], "generation": 0})
        etag = policy.get("etag")
        if not etag:
            self.replaced_blindly.append(resource)
        if etag and etag != _etag(kept["generation"]):
            raise Refusal(
                "ABORTED",
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
                "backoff.",
            )
        kept["bindings"] = [binding for binding in policy.get("bindings", []) if binding.get("members")]
        if "auditConfigs" in policy:
            kept["auditConfigs"] = policy["auditConfigs"]
        kept["generation"] += 1
        return self.policy(resource)

    def roles_of(self, member: str, *resources: str) -> set[str]:
        """Roles that a member holds without condition on the project or one of `resources`."""
        held = set()
        for resource in (f"projects/{self.project}", *resources):
            for binding in self.policies.get(resource, {}).get("bindings", ()):
                # A condition may hold or not: a check of the stand-in counts only what always holds.
                if "condition" not in binding and ({member, "allUsers"} & set(binding["members"])):
                    held.add(binding["role"])
        return held

    def may(self, member: str, permission: str, *resources: str) -> bool:
        """True if a member has the permission on the project or on one of `resources`."""
        own = {name: role["includedPermissions"] for name, role in self.named(r"projects/[^/]+/roles/[^/]+").items()}
        return any(
            permission in own[role] if role in own else grants(role, permission)
            for role in self.roles_of(member, *resources)
        )

    def require(self, member: str, permission: str, *resources: str) -> None:
        """Raise PERMISSION_DENIED unless the member has the permission."""
        if not self.may(member, permission, *resources):
            where = resources[0] if resources else f"projects/{self.project}"
            message = f"Permission '{permission}' denied on resource '{where}' (or it may not exist)."
            raise Refusal("PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED", permission=permission, resource=where)

    def act_as(self, member: str, email: str) -> None:
        """Raise PERMISSION_DENIED unless the member may run things as that service account, which must exist."""
        name = f"projects/{self.project}/serviceAccounts/{email}"
        if not self.has_account(email) or not self.may(member, "iam.serviceAccounts.actAs", name):
            message = f"Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist)."
            raise Refusal("PERMISSION_DENIED", message)

    def token_for(self, member: str) -> str:
        """A new token that stands for the member, as access token and as refresh token."""
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens[token] = member
        return token

    def snapshot(self) -> Json:
        """All that a deployment can change, to compare with later."""
        return copy.deepcopy({"resources": self.resources, "policies": self.policies, "apis": sorted(self.apis)})


def now() -> str:
    """The time as Google writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _etag(generation: int) -> str:
    return base64.b64encode(generation.to_bytes(8, "big")).decode()
