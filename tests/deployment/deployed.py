"""What a project shows after a deployment, in the words of `expected.py`; whatever is out of place is said instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.deployment.cloud.capacity import memory_mib
from tests.deployment.cloud.run import service_name
from tests.deployment.expected import PUBLIC, REGION, Function

if TYPE_CHECKING:
    from tests.deployment.cloud.service import Json
    from tests.deployment.cloud.state import Cloud


def deployed(cloud: Cloud) -> dict[str, dict[str, Function]]:
    """Return the functions of the project by codebase."""
    found: dict[str, dict[str, Function]] = {}
    for function in cloud.named(r"projects/[^/]+/locations/[^/]+/functions/[^/]+").values():
        codebase = function["labels"].get("firebase-functions-codebase", "default")
        found.setdefault(codebase, {})[function["name"].rsplit("/", 1)[1]] = _shown(cloud, function, codebase)
    return found


def _shown(cloud: Cloud, function: Json, codebase: str) -> Function:
    service = function["serviceConfig"]
    account = f"{codebase}-functions@{cloud.project}.iam.gserviceaccount.com"
    trigger = _trigger(cloud, function, account)
    if function["state"] != "ACTIVE":
        trigger += f", {function['state']}: {function.get('stateMessages')}"
    if service["serviceAccountEmail"] != account:
        trigger += f", as {service['serviceAccountEmail']}"
    if function["name"].split("/")[3] != REGION:
        trigger += f", in {function['name'].split('/')[3]}"
    return Function(
        trigger,
        frozenset(secret["secret"] for secret in service.get("secretEnvironmentVariables", [])),
        _invoker(cloud, function, account),
        round(memory_mib(service)),
        int(service.get("timeoutSeconds") or 60),
        int(service.get("maxInstanceRequestConcurrency") or 1),
        int(service.get("minInstanceCount") or 0),
        function.get("eventTrigger", {}).get("retryPolicy") == "RETRY_POLICY_RETRY",
    )


def _trigger(cloud: Cloud, function: Json, account: str) -> str:
    labels, identifier = function["labels"], function["name"].rsplit("/", 1)[1]
    place = f"projects/{cloud.project}/locations/{REGION}"
    if "eventTrigger" in function:
        trigger = function["eventTrigger"]
        return str(trigger["eventType"]) + _unless(account, trigger["serviceAccountEmail"])
    if labels.get("deployment-scheduled"):
        job = cloud.resources.get(f"{place}/jobs/firebase-schedule-{identifier}-{REGION}")
        return _schedule(job, function, account) if job else "a schedule without a job"
    if labels.get("deployment-taskqueue"):
        queue = cloud.resources.get(f"{place}/queues/{identifier}")
        return _queue(queue) if queue else "a task function without a queue"
    if "deployment-blocking" in labels:
        triggers = cloud.resources[f"projects/{cloud.project}/config"].get("blockingFunctions", {}).get("triggers", {})
        urls = (function.get("url"), function["serviceConfig"].get("uri"))
        kinds = [kind for kind, one in triggers.items() if one["functionUri"] in urls]
        return kinds[0] if kinds else "a blocking function that is not registered"
    return "callable" if labels.get("deployment-callable") else "request"


def _schedule(job: Json, function: Json, account: str) -> str:
    target = job["httpTarget"]
    urls = (function.get("url"), function["serviceConfig"].get("uri"))
    wrong = "" if target["uri"] in urls else f", at {target['uri']}"
    return str(job["schedule"]) + wrong + _unless(account, target["oidcToken"]["serviceAccountEmail"])


def _queue(queue: dict[str, Any]) -> str:
    retry = queue["retryConfig"]
    at_once = queue["rateLimits"]["maxConcurrentDispatches"]
    return f"queue: {at_once} at once, {retry['maxAttempts']} attempts from {retry['minBackoff'].removesuffix('s')} s"


def _unless(expected: str, found: str) -> str:
    return "" if found == expected else f", as {found}"


def _invoker(cloud: Cloud, function: Json, account: str) -> str:
    bindings = cloud.policy(service_name(function))["bindings"]
    members = sorted({member for one in bindings if one["role"] == "roles/run.invoker" for member in one["members"]})
    known = {"allUsers": PUBLIC, f"serviceAccount:{account}": "itself"}
    return ", ".join(known.get(member, member) for member in members)
