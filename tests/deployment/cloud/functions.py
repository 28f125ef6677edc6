"""Cloud Functions v2 (v1 has none here): what may be created, where, by whom, and what comes of it."""

from __future__ import annotations

import copy
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any, Final

from tests.deployment.cloud import run
from tests.deployment.cloud.capacity import check_capacity, over_quota
from tests.deployment.cloud.event_triggers import check_trigger, make_trigger
from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, check_name, fields, serves
from tests.deployment.cloud.state import now

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_API: Final = "cloudfunctions.googleapis.com"
_V2: Final = f"{_API}/v2/projects/{{project}}/locations/{{location}}"
_SOURCE: Final = fields("", storageSource=fields("bucket object generation sourceUploadUrl"))
_BUILD: Final = fields(
    "runtime entryPoint environmentVariables serviceAccount dockerRepository automaticUpdatePolicy",
    source=_SOURCE,
)
_SERVICE: Final = fields(
    "timeoutSeconds availableMemory availableCpu environmentVariables maxInstanceCount minInstanceCount vpcConnector "
    "vpcConnectorEgressSettings ingressSettings serviceAccountEmail allTrafficOnLatestRevision "
    "maxInstanceRequestConcurrency securityLevel",
    secretEnvironmentVariables=[fields("key projectId secret version")],
)
_TRIGGER: Final = fields(
    "triggerRegion eventType pubsubTopic serviceAccountEmail retryPolicy channel",
    eventFilters=[fields("attribute value operator")],
)
_FUNCTION: Final = fields("name description labels", buildConfig=_BUILD, serviceConfig=_SERVICE, eventTrigger=_TRIGGER)
_RUNTIMES: Final = {f"python3{minor}" for minor in range(10, 15)}
_REGIONS: Final = {
    f"{area}{number}"
    for area, count in (("us-central", 1), ("us-east", 4), ("us-west", 4), ("europe-west", 12), ("asia-east", 2))
    for number in range(1, count + 1)
}
#: Repository that Cloud Functions keeps its images in; the first function of a region makes it.
REPOSITORY: Final = "gcf-artifacts"
#: How long a release takes: so long that several are under way at once.
DEPLOYMENT_SECONDS: Final = 0.7
_MAX_SOURCE_BYTES: Final = 104857600


@serves(
    "GET",
    f"{_API}/v1/projects/{{project}}/locations/{{location}}/functions",
    permission="cloudfunctions.functions.list",
)
def list_first_generation(_cloud: Cloud, _ask: Ask) -> Json:
    """List functions of the first generation: there are none."""
    return {}


@serves("GET", f"{_V2}/functions", permission="cloudfunctions.functions.list")
def list_functions(cloud: Cloud, ask: Ask) -> Json:
    """List functions."""
    return {"functions": cloud.under(f"projects/{cloud.project}/locations/{ask['location']}", "functions")}


@serves("GET", f"{_V2}/functions/{{function}}", permission="cloudfunctions.functions.get")
def get_function(cloud: Cloud, ask: Ask) -> Json:
    """Describe a function."""
    return cloud.get(_name(ask))


@serves("GET", f"{_V2}/operations/{{operation}}", permission="cloudfunctions.operations.get")
def get_operation(cloud: Cloud, ask: Ask) -> Json:
    """Say how far an operation is."""
    name = f"projects/{cloud.project}/locations/{ask['location']}/operations/{ask['operation']}"
    if name not in cloud.operations:
        raise Refusal("NOT_FOUND", f"Operation {name} was not found")
    return cloud.operations[name].body


@serves("POST", f"{_V2}/functions:generateUploadUrl", permission="cloudfunctions.functions.sourceCodeSet")
def upload_url(cloud: Cloud, ask: Ask) -> Json:
    """Return where a source may be put, once, without a token."""
    _check_region(ask)
    bucket = f"gcf-v2-uploads-{cloud.number}.{ask['location']}.cloudfunctions.appspot.com"
    source = {"bucket": bucket, "object": f"{hashlib.sha256(str(len(cloud.uploads)).encode()).hexdigest()[:32]}.zip"}
    cloud.uploads[source["object"]] = b""
    url = f"https://storage.googleapis.com/{bucket}/{source['object']}?X-Goog-Signature={source['object'][:8]}"
    return {"uploadUrl": url, "storageSource": source}


@serves("PUT", "storage.googleapis.com/{bucket}/{object}", public=True)
def upload(cloud: Cloud, ask: Ask) -> Json:
    """Take a source at a signed URL. It must be a ZIP archive, and the URL's signature must be right."""
    name = ask["object"]
    if cloud.uploads.get(name) != b"" or ask.query.get("X-Goog-Signature") != name[:8]:
        raise Refusal("PERMISSION_DENIED", "The signed URL is not valid.")
    if len(ask.content) > _MAX_SOURCE_BYTES:
        raise Refusal("INVALID_ARGUMENT", "EntityTooLarge")
    if not zipfile.is_zipfile(io.BytesIO(ask.content)):
        raise Refusal("INVALID_ARGUMENT", "The source is not a ZIP archive.")
    cloud.uploads[name] = ask.content
    return {}


@serves("POST", f"{_V2}/functions", permission="cloudfunctions.functions.create")
def create_function(cloud: Cloud, ask: Ask) -> Json:
    """Create a function: what Google refuses at once is refused at once, the rest in the operation."""
    identifier = ask.query.get("functionId", "")
    check_name("Function ID", identifier, r"[a-zA-Z][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9]")
    _check_region(ask)
    name = f"projects/{cloud.project}/locations/{ask['location']}/functions/{identifier}"
    body = ask.json(_FUNCTION, "function")
    if body.get("name", name) != name:
        raise Refusal("INVALID_ARGUMENT", "The function's name is not that of its parent and ID.")
    if name in cloud.resources:
        raise Refusal("ALREADY_EXISTS", f"Resource '{name}' already exists")
    if cloud.busy:
        cloud.busy -= 1
        message = "Quota exceeded for quota metric 'Per project mutation requests' per minute of cloudfunctions."
        raise Refusal("RESOURCE_EXHAUSTED", message, "RATE_LIMIT_EXCEEDED")
    function = {"environment": "GEN_2", **copy.deepcopy(body), "name": name, "state": "DEPLOYING", "createTime": now()}
    _check(cloud, ask, function)
    cloud.create(name, function)
    return _deploy(cloud, ask, function)


@serves("PATCH", f"{_V2}/functions/{{function}}", permission="cloudfunctions.functions.update")
def update_function(cloud: Cloud, ask: Ask) -> Json:
    """Change the fields of a function that the mask names."""
    kept = cloud.get(_name(ask))
    body = ask.json(_FUNCTION, "function")
    _check_idle(kept)
    function = copy.deepcopy(kept)
    mask = [path for path in ask.mask() if path != "name"]
    apply_mask(function, body, mask, _FUNCTION)
    _check(cloud, ask, function)
    kept.clear()
    kept.update(function, state="DEPLOYING")
    return _deploy(cloud, ask, kept)


@serves("DELETE", f"{_V2}/functions/{{function}}", permission="cloudfunctions.functions.delete")
def delete_function(cloud: Cloud, ask: Ask) -> Json:
    """Delete a function with its service and its event trigger."""
    function = cloud.get(_name(ask))
    _check_idle(function)
    service = run.service_name(function)
    cloud.delete(function["name"])
    for name in (service, f"{service}/trigger".replace("/services/", "/triggers/")):
        if name in cloud.resources:
            cloud.delete(name)
    return cloud.start(_parent(ask), dict).body


def _name(ask: Ask) -> str:
    return f"{_parent(ask)}/functions/{ask['function']}"


def _parent(ask: Ask) -> str:
    return f"projects/{ask['project']}/locations/{ask['location']}"


def _check_idle(function: Json) -> None:
    if function["state"] == "DEPLOYING":
        raise Refusal("ABORTED", f"Resource '{function['name']}' has an operation in progress.")


def _check_region(ask: Ask) -> None:
    if ask["location"] not in _REGIONS:
        raise Refusal("PERMISSION_DENIED", f"Location {ask['location']} is not found or access is unauthorized.")


def _check(cloud: Cloud, ask: Ask, function: Json) -> None:
    build, service = function["buildConfig"], function["serviceConfig"]
    if build.get("runtime") not in _RUNTIMES:
        raise Refusal("INVALID_ARGUMENT", f"Runtime '{build.get('runtime')}' is not supported.")
    source = build.get("source", {}).get("storageSource") or {}
    if not cloud.uploads.get(source.get("object", "")):
        raise Refusal("INVALID_ARGUMENT", f"Source object {source.get('object')} was not found.")
    check_capacity(service)
    account = service.get("serviceAccountEmail") or cloud.build_account
    cloud.act_as(ask.caller, account)
    limit = 540 if "eventTrigger" in function else 3600
    if not 1 <= int(service.get("timeoutSeconds") or 60) <= limit:
        raise Refusal("INVALID_ARGUMENT", f"timeoutSeconds must be between 1 and {limit}.")
    if "eventTrigger" in function:
        check_trigger(cloud, ask, function)


def _deploy(cloud: Cloud, ask: Ask, function: Json) -> Json:
    name = function["name"]
    refused_at_start = over_quota(cloud, function)

    def finish() -> Json:
        try:
            if refused_at_start:
                raise refused_at_start
            return _finish(cloud, function)
        except Refusal as refused:
            if name in cloud.resources:
                function["state"] = "FAILED"
                function["stateMessages"] = [{"severity": "ERROR", "type": refused.status, "message": refused.message}]
            raise

    metadata = {"@type": "type.googleapis.com/google.cloud.functions.v2.OperationMetadata", "target": name}
    return cloud.start(_parent(ask), finish, metadata, DEPLOYMENT_SECONDS).body


def _finish(cloud: Cloud, function: Json) -> Json:
    """Build the image, release the service and make the trigger."""
    _check_build(cloud)
    service = function["serviceConfig"]
    account = service.setdefault("serviceAccountEmail", cloud.build_account)
    for secret in service.get("secretEnvironmentVariables", []):
        _check_secret(cloud, account, secret)
    region = function["name"].split("/")[3]
    repository = f"projects/{cloud.project}/locations/{region}/repositories/{REPOSITORY}"
    if repository not in cloud.resources:
        cloud.create(
            repository, {"name": repository, "format": "DOCKER", "labels": {"goog-managed-by": "cloudfunctions"}}
        )
    url = run.release(cloud, function)
    service.update(uri=url, service=run.service_name(function))
    if "eventTrigger" in function:
        make_trigger(cloud, function)
    function.update(state="ACTIVE", updateTime=now())
    function["url"] = f"https://{region}-{cloud.project}.cloudfunctions.net/{function['name'].rsplit('/', 1)[1]}"
    return {"@type": "type.googleapis.com/google.cloud.functions.v2.Function", **copy.deepcopy(function)}


def _check_build(cloud: Cloud) -> None:
    member = f"serviceAccount:{cloud.build_account}"
    if not cloud.has_account(cloud.build_account) or not cloud.may(member, "cloudbuild.builds.create"):
        message = (
            "Build failed: could not build the function due to a missing permission on the build service account "
            f"{cloud.build_account}. It needs roles/cloudbuild.builds.builder."
        )
        raise Refusal("FAILED_PRECONDITION", message)


def _check_secret(cloud: Cloud, account: str, wanted: dict[str, Any]) -> None:
    secret = f"projects/{cloud.project}/secrets/{wanted['secret']}"
    version = wanted.get("version", "latest")
    if not any(
        one["state"] == "ENABLED" and (version == "latest" or one["name"].endswith(f"/{version}"))
        for one in cloud.under(secret, "versions")
    ):
        raise Refusal("INVALID_ARGUMENT", f"Secret {secret}/versions/{version} was not found")
    if not cloud.may(f"serviceAccount:{account}", "secretmanager.versions.access", secret):
        message = (
            f"Permission denied on secret: {secret}/versions/{version} for Revision service account {account}. The "
            "service account used must be granted the 'Secret Manager Secret Accessor' role "
            "(roles/secretmanager.secretAccessor) at the secret, project or higher level."
        )
        raise Refusal("INVALID_ARGUMENT", message)
