"""Projects: Firebase, Resource Manager with the project's IAM policy, Service Usage, Compute and Runtime Config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.policies import POLICY, check_policy
from tests.deployment.cloud.service import Ask, Json, Refusal, fields, serves

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_FIREBASE: Final = "firebase.googleapis.com/v1beta1/projects/{project}"
_MANAGER: Final = "cloudresourcemanager.googleapis.com/v1/projects/{project}"
_USAGE: Final = "serviceusage.googleapis.com"
#: The service agent that `generateServiceIdentity` makes.
AGENTS: Final = {
    "pubsub.googleapis.com": "gcp-sa-pubsub",
    "eventarc.googleapis.com": "gcp-sa-eventarc",
    "cloudscheduler.googleapis.com": "gcp-sa-cloudscheduler",
    "cloudtasks.googleapis.com": "gcp-sa-cloudtasks",
    "firebasestorage.googleapis.com": "gcp-sa-firebasestorage",
}


@serves("GET", _FIREBASE, permission="firebase.projects.get")
def get_project(cloud: Cloud, _ask: Ask) -> Json:
    """Describe the Firebase project."""
    return {
        "projectId": cloud.project,
        "projectNumber": cloud.number,
        "name": f"projects/{cloud.project}",
        "displayName": "Rehearsal",
        "state": "ACTIVE",
        "resources": {},
    }


@serves("GET", f"{_FIREBASE}/adminSdkConfig", permission="firebase.projects.get")
def admin_config(cloud: Cloud, _ask: Ask) -> Json:
    """Return what becomes FIREBASE_CONFIG. A project without Storage has no bucket in it."""
    config = {"projectId": cloud.project}
    buckets = [name for name in cloud.resources if name == f"b/{cloud.project}.firebasestorage.app"]
    return config | ({"storageBucket": buckets[0].removeprefix("b/")} if buckets else {})


@serves("GET", _MANAGER, permission="resourcemanager.projects.get")
def describe_project(cloud: Cloud, _ask: Ask) -> Json:
    """Describe the project."""
    return {
        "projectNumber": cloud.number,
        "projectId": cloud.project,
        "lifecycleState": "ACTIVE",
        "name": "Rehearsal",
        "createTime": "2026-01-01T00:00:00Z",
    }


#: The version of a policy that has conditions, and how one asks for it.
_CONDITIONAL: Final = 3
_GET_POLICY: Final = fields("", options=fields("requestedPolicyVersion"))


@serves("POST", f"{_MANAGER}:getIamPolicy", permission="resourcemanager.projects.getIamPolicy", reads=True)
def get_policy(cloud: Cloud, ask: Ask) -> Json:
    """Return the project's policy, without its conditions to who does not ask for a version that has them."""
    policy = cloud.policy(f"projects/{cloud.project}")
    if ask.json(_GET_POLICY).get("options", {}).get("requestedPolicyVersion") != _CONDITIONAL:
        policy["version"] = 1
        for number, binding in enumerate(policy["bindings"]):
            if binding.pop("condition", None):
                binding["role"] = f"{binding['role']}_withcond_{number:020x}"
    return policy


@serves("POST", f"{_MANAGER}:setIamPolicy", permission="resourcemanager.projects.setIamPolicy")
def set_policy(cloud: Cloud, ask: Ask) -> Json:
    """Replace the project's policy, which must name an owner and no unknown member."""
    policy = ask.json(fields("updateMask", policy=POLICY))["policy"]
    kept = cloud.policy(f"projects/{cloud.project}")
    # Whoever read it without its conditions would lose them.
    if kept["version"] == _CONDITIONAL and policy.get("etag") and policy.get("version") != _CONDITIONAL:
        raise Refusal("INVALID_ARGUMENT", "The policy has conditions: set its version to 3, and its conditions too.")
    check_policy(cloud, policy, public=False)
    if not any(one["role"] == "roles/owner" for one in policy.get("bindings", [])):
        raise Refusal("INVALID_ARGUMENT", "The policy must contain at least one owner.")
    return cloud.set_policy(f"projects/{cloud.project}", policy)


@serves("POST", f"{_MANAGER}:testIamPermissions", reads=True)
def test_permissions(cloud: Cloud, ask: Ask) -> Json:
    """Return which of the permissions the caller has."""
    return {
        "permissions": [one for one in ask.json(fields("permissions"))["permissions"] if cloud.may(ask.caller, one)]
    }


def _service(cloud: Cloud, name: str) -> Json:
    state = "ENABLED" if name in cloud.apis else "DISABLED"
    return {
        "name": f"projects/{cloud.number}/services/{name}",
        "parent": f"projects/{cloud.number}",
        "config": {"name": name, "title": name},
        "state": state,
    }


def enable(cloud: Cloud, name: str) -> None:
    """Enable an API. Compute brings an account with it; service agents are made when they are first asked for."""
    cloud.apis.add(name)
    if name == "compute.googleapis.com":
        cloud.agents.add(cloud.build_account)


@serves("GET", f"{_USAGE}/v1/projects/{{project}}/services/{{service}}", permission="serviceusage.services.get")
def get_service(cloud: Cloud, ask: Ask) -> Json:
    """Say whether an API is enabled."""
    return _service(cloud, ask["service"])


@serves("GET", f"{_USAGE}/v1/projects/{{project}}/services:batchGet", permission="serviceusage.services.get")
def get_services(cloud: Cloud, ask: Ask) -> Json:
    """Say whether APIs are enabled."""
    return {"services": [_service(cloud, name.rsplit("/", 1)[1]) for name in ask.query.get("names", "").split(",")]}


@serves(
    "POST", f"{_USAGE}/v1/projects/{{project}}/services/{{service}}:enable", permission="serviceusage.services.enable"
)
def enable_service(cloud: Cloud, ask: Ask) -> Json:
    """Enable one API."""
    ask.json({})
    enable(cloud, ask["service"])
    return cloud.start("", lambda: {"service": _service(cloud, ask["service"])}).body


@serves("POST", f"{_USAGE}/v1/projects/{{project}}/services:batchEnable", permission="serviceusage.services.enable")
def enable_services(cloud: Cloud, ask: Ask) -> Json:
    """Enable up to 20 APIs."""
    names = ask.json(fields("serviceIds"))["serviceIds"]
    if len(names) > 20:
        raise Refusal("INVALID_ARGUMENT", "At most 20 services can be enabled at once.")
    for name in names:
        enable(cloud, name)
    return cloud.start("", lambda: {"services": [_service(cloud, name) for name in names]}).body


@serves("POST", f"{_USAGE}/v1beta1/projects/{{project}}/services/{{service}}:generateServiceIdentity")
def generate_identity(cloud: Cloud, ask: Ask) -> Json:
    """Make a service agent, which stays as it is if it exists.

    Google asks for no permission (https://github.com/firebase/firebase-tools/issues/11070).
    """
    ask.json({})
    if ask["service"] not in AGENTS:
        raise Refusal("INVALID_ARGUMENT", f"{ask['service']} has no service identity.")
    identity = {"@type": "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity", "uniqueId": "1"}
    identity["email"] = cloud.agent(AGENTS[ask["service"]])
    return {"name": "operations/finished.DONE_OPERATION", "done": True, "response": identity}


@serves("GET", f"{_USAGE}/v1/operations/{{operation}}", f"{_USAGE}/v1beta1/operations/{{operation}}")
def get_operation(cloud: Cloud, ask: Ask) -> Json:
    """Say how far an operation is."""
    name = f"operations/{ask['operation']}"
    if name not in cloud.operations:
        raise Refusal("NOT_FOUND", f"Operation {name} was not found")
    return cloud.operations[name].body


@serves("GET", "compute.googleapis.com/compute/v1/projects/{project}", permission="compute.projects.get")
def compute_project(cloud: Cloud, _ask: Ask) -> Json:
    """Describe the project to Compute: its default account exists once the API was enabled."""
    return {"name": cloud.project, "id": cloud.number, "defaultServiceAccount": cloud.build_account}


@serves(
    "GET", "runtimeconfig.googleapis.com/v1beta1/projects/{project}/configs", permission="runtimeconfig.configs.list"
)
def runtime_configs(_cloud: Cloud, _ask: Ask) -> Json:
    """List the configurations of first-generation functions: there are none."""
    return {}
