"""What a project shows after a deployment, in the words of `expected.py`; whatever is out of place is said instead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.deployment.cloud.capacity import cpus, memory_mib
from tests.deployment.cloud.run import service_name
from tests.deployment.expected import FUNCTIONS, LET_IN_LATER, PUBLIC, REGION, Function

if TYPE_CHECKING:
    from tests.deployment.cloud.service import Json
    from tests.deployment.cloud.state import Cloud


def deployed(cloud: Cloud, region: str = REGION) -> dict[str, Function]:
    """Return the functions of the project by their names. All are meant to be in `region`."""
    found = cloud.named(r"projects/[^/]+/locations/[^/]+/functions/[^/]+")
    return {name.rsplit("/", 1)[1]: _shown(cloud, function, region) for name, function in found.items()}


def codebases(cloud: Cloud) -> dict[str, set[str]]:
    """Return the names of the project's functions by the codebase that each belongs to."""
    found: dict[str, set[str]] = {}
    for name, function in cloud.named(r"projects/[^/]+/locations/[^/]+/functions/[^/]+").items():
        found.setdefault(function["labels"]["firebase-functions-codebase"], set()).add(name.rsplit("/", 1)[1])
    return found


def wrong(
    cloud: Cloud, *, let_in: bool = True, region: str = REGION
) -> dict[str, tuple[Function | None, Function | None]]:
    """Return what is deployed and what is expected where these differ.

    `let_in` is False before the senders of events and tasks were let in.
    """
    found, expected = deployed(cloud, region), dict(FUNCTIONS)
    if not let_in:
        expected |= {name: replace(expected[name], invokers="") for name in LET_IN_LATER & set(expected)}
    return {
        name: (found.get(name), expected.get(name))
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    }


def _shown(cloud: Cloud, function: Json, region: str) -> Function:
    service = function["serviceConfig"]
    account = service["serviceAccountEmail"]
    trigger = _trigger(cloud, function, account, region)
    if function["state"] != "ACTIVE":
        trigger += f", {function['state']}: {function.get('stateMessages')}"
    if function["name"].split("/")[3] != region:
        trigger += f", in {function['name'].split('/')[3]}"
    return Function(
        trigger,
        account.removesuffix(f"-functions@{cloud.project}.iam.gserviceaccount.com"),
        cpus(service),
        int(service.get("maxInstanceRequestConcurrency") or 1),
        int(service.get("minInstanceCount") or 0),
        int(service.get("maxInstanceCount") or 100),
        round(memory_mib(service)),
        int(service.get("timeoutSeconds") or 60),
        function.get("eventTrigger", {}).get("retryPolicy") == "RETRY_POLICY_RETRY",
        frozenset(secret["secret"] for secret in service.get("secretEnvironmentVariables", [])),
        _invokers(cloud, function),
    )


def _trigger(cloud: Cloud, function: Json, account: str, region: str) -> str:
    labels, identifier = function["labels"], function["name"].rsplit("/", 1)[1]
    place = f"projects/{cloud.project}/locations/{region}"
    if "eventTrigger" in function:
        trigger = function["eventTrigger"]
        return str(trigger["eventType"]) + _unless(account, trigger["serviceAccountEmail"])
    if labels.get("deployment-scheduled"):
        job = cloud.resources.get(f"{place}/jobs/firebase-schedule-{identifier}-{region}")
        return _schedule(job, function, account) if job else "a schedule without a job"
    if labels.get("deployment-taskqueue"):
        queue = cloud.resources.get(f"{place}/queues/{identifier}")
        return _queue(queue) if queue else "a task function without a queue"
    if "deployment-blocking" in labels:
        triggers = cloud.resources[f"projects/{cloud.project}/config"].get("blockingFunctions", {}).get("triggers", {})
        kinds = [kind for kind, one in triggers.items() if one["functionUri"] in _urls(function)]
        return kinds[0] if kinds else "a blocking function that is not registered"
    return "callable" if labels.get("deployment-callable") else "request"


def _schedule(job: Json, function: Json, account: str) -> str:
    target = job["httpTarget"]
    misled = "" if target["uri"] in _urls(function) else f", at {target['uri']}"
    return str(job["schedule"]) + misled + _unless(account, target["oidcToken"]["serviceAccountEmail"])


def _queue(queue: dict[str, Any]) -> str:
    retry = queue["retryConfig"]
    at_once = queue["rateLimits"]["maxConcurrentDispatches"]
    return f"queue: {at_once} at once, {retry['maxAttempts']} attempts from {retry['minBackoff'].removesuffix('s')} s"


def _urls(function: Json) -> tuple[str | None, str | None]:
    return function.get("url"), function["serviceConfig"].get("uri")


def _unless(expected: str, found: str) -> str:
    return "" if found == expected else f", as {found}"


def _invokers(cloud: Cloud, function: Json) -> str:
    bindings = cloud.policy(service_name(function))["bindings"]
    members = {member for one in bindings if one["role"] == "roles/run.invoker" for member in one["members"]}
    suffix = f"-functions@{cloud.project}.iam.gserviceaccount.com"
    return ", ".join(
        sorted(
            PUBLIC if member == "allUsers" else member.removeprefix("serviceAccount:").removesuffix(suffix)
            for member in members
        )
    )
