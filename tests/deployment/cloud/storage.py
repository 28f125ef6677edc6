"""Cloud Storage and Cloud Storage for Firebase: buckets, their settings and policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.cloud.policies import POLICY, check_policy
from tests.deployment.cloud.service import Ask, Json, Refusal, apply_mask, fields, serves
from tests.deployment.cloud.state import now

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_API: Final = "storage.googleapis.com/storage/v1"
_BUCKET: Final = f"{_API}/b/{{bucket}}"
_SHAPE: Final = fields(
    "name location storageClass labels lifecycle iamConfiguration versioning softDeletePolicy retentionPolicy "
    "encryption logging website cors billing defaultEventBasedHold autoclass rpo acl defaultObjectAcl "
    "customPlacementConfig locationType kind id etag"
)


def _name(ask: Ask) -> str:
    return f"b/{ask['bucket']}"


@serves("GET", f"{_API}/projects/{{project}}/serviceAccount", permission="resourcemanager.projects.get")
def get_agent(cloud: Cloud, _ask: Ask) -> Json:
    """Return the service agent of Cloud Storage, which this makes."""
    return {"kind": "storage#serviceAccount", "email_address": cloud.agent("gs-project-accounts")}


@serves("GET", f"{_API}/b")
def list_buckets(cloud: Cloud, ask: Ask) -> Json:
    """List the project's buckets."""
    cloud.require(ask.caller, "storage.buckets.list")
    return {"kind": "storage#buckets", "items": list(cloud.named("b/.+").values())}


@serves("POST", f"{_API}/b")
def create_bucket(cloud: Cloud, ask: Ask) -> Json:
    """Create a bucket, which keeps deleted objects for seven days unless told otherwise."""
    cloud.require(ask.caller, "storage.buckets.create")
    body = ask.json(_SHAPE)
    return cloud.create(f"b/{body['name']}", new_bucket(body["name"], body.get("location", "US")) | body)


def new_bucket(name: str, location: str) -> Json:
    """A bucket as it comes."""
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "location": location.upper(),
        "locationType": "region" if "-" in location else "multi-region",
        "storageClass": "STANDARD",
        "metageneration": "1",
        "timeCreated": now(),
        "softDeletePolicy": {"retentionDurationSeconds": "604800", "effectiveTime": now()},
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "inherited"},
    }


@serves("GET", _BUCKET)
def get_bucket(cloud: Cloud, ask: Ask) -> Json:
    """Describe a bucket."""
    cloud.require(ask.caller, "storage.buckets.get", _name(ask))
    return cloud.get(_name(ask))


@serves("PATCH", _BUCKET)
def update_bucket(cloud: Cloud, ask: Ask) -> Json:
    """Change settings of a bucket."""
    cloud.require(ask.caller, "storage.buckets.update", _name(ask))
    bucket = cloud.get(_name(ask))
    apply_mask(bucket, ask.json(_SHAPE), [], _SHAPE)
    bucket["metageneration"] = str(int(bucket["metageneration"]) + 1)
    return bucket


@serves("GET", f"{_BUCKET}/iam")
def get_policy(cloud: Cloud, ask: Ask) -> Json:
    """Return a bucket's policy."""
    cloud.require(ask.caller, "storage.buckets.getIamPolicy", _name(ask))
    cloud.get(_name(ask))
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{ask['bucket']}", **cloud.policy(_name(ask))}


@serves("PUT", f"{_BUCKET}/iam")
def set_policy(cloud: Cloud, ask: Ask) -> Json:
    """Replace a bucket's policy."""
    cloud.require(ask.caller, "storage.buckets.setIamPolicy", _name(ask))
    cloud.get(_name(ask))
    policy = ask.json(POLICY)
    check_policy(cloud, policy, public=True)
    return {"kind": "storage#policy", **cloud.set_policy(_name(ask), policy)}


@serves(
    "GET",
    "firebasestorage.googleapis.com/v1beta/projects/{project}/defaultBucket",
    "firebasestorage.googleapis.com/v1alpha/projects/{project}/defaultBucket",
    permission="firebasestorage.defaultBucket.get",
)
def default_bucket(cloud: Cloud, _ask: Ask) -> Json:
    """Describe the bucket that Storage was set up with. Before that there is none."""
    name = f"{cloud.project}.firebasestorage.app"
    if f"b/{name}" not in cloud.resources:
        raise Refusal("NOT_FOUND", "The default bucket was not found.")
    return {
        "name": f"projects/{cloud.project}/defaultBucket",
        "location": cloud.resources[f"b/{name}"]["location"].lower(),
        "bucket": {"name": f"projects/{cloud.project}/buckets/{name}"},
    }


@serves(
    "POST",
    "firebasestorage.googleapis.com/v1alpha/projects/{project}/defaultBucket",
    "firebasestorage.googleapis.com/v1beta/projects/{project}/defaultBucket",
    permission="firebasestorage.defaultBucket.create",
)
def create_default_bucket(cloud: Cloud, ask: Ask) -> Json:
    """Set Storage up, as the console does."""
    location = ask.json(fields("location storageClass"))["location"]
    name = f"{cloud.project}.firebasestorage.app"
    cloud.create(f"b/{name}", new_bucket(name, location))
    return default_bucket(cloud, ask)
