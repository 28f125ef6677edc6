"""A project like the one that docs/deploy.md sets up, made at once: for checks of the stand-in itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.deployment import grants
from tests.deployment.cloud.projects import enable
from tests.deployment.cloud.service import Json
from tests.deployment.cloud.storage import new_bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.deployment.cloud.state import Cloud

APIS: Final = (
    "artifactregistry cloudbuild cloudfunctions cloudkms cloudscheduler cloudtasks compute eventarc firebasestorage "
    "firestore iam logging monitoring pubsub run runtimeconfig secretmanager"
)
#: Roles on the project that the deployment of the functions, and their triggers, need beside the functions' own work.
PROJECT_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "uploads": ("roles/eventarc.eventReceiver", "roles/run.invoker"),
    "alerts": ("roles/eventarc.eventReceiver", "roles/run.invoker"),
}


def prepare(
    cloud: Cloud, secrets: Mapping[str, Iterable[str]], region: str = "us-central1", bucket_in: str = ""
) -> None:
    """Make accounts, roles, databases, bucket, secrets and topic. The bucket is in `region` unless told otherwise.

    `secrets` names, for each `ACCOUNT-functions`, the secrets that it may read.
    """
    for api in APIS.split():
        enable(cloud, f"{api}.googleapis.com")
    for database in ("(default)", "vault"):
        name = f"projects/{cloud.project}/databases/{database}"
        cloud.create(
            name, {"name": name, "locationId": "nam5", "type": "FIRESTORE_NATIVE", "databaseEdition": "STANDARD"}
        )
    bucket = f"{cloud.project}.firebasestorage.app"
    cloud.create(f"b/{bucket}", new_bucket(bucket, bucket_in or region))
    cloud.agent("gcp-sa-firebasestorage")  # which comes with the bucket
    cloud.create(f"projects/{cloud.project}/config", {"name": f"projects/{cloud.project}/config"})
    topic = f"projects/{cloud.project}/topics/audit-logs"
    cloud.create(topic, {"name": topic})
    roles: list[tuple[str, str]] = [
        (f"serviceAccount:{cloud.build_account}", "roles/cloudbuild.builds.builder"),
        (f"serviceAccount:{cloud.agent('gcp-sa-pubsub')}", "roles/iam.serviceAccountTokenCreator"),
        (f"serviceAccount:{cloud.agent('gs-project-accounts')}", "roles/pubsub.publisher"),
    ]
    for account, names in secrets.items():
        email = _account(cloud, f"{account}-functions")
        roles += [(f"serviceAccount:{email}", role) for role in PROJECT_ROLES.get(account, ())]
        for name in names:
            _secret(cloud, name, f"serviceAccount:{email}")
    grant(cloud, f"projects/{cloud.project}", roles)
    repository = f"projects/{cloud.project}/locations/{region}/repositories/gcf-artifacts"
    policy: Json = {
        "id": "firebase-functions-cleanup",
        "condition": {"tagState": "ANY", "olderThan": "86400s"},
        "action": "DELETE",
    }
    cloud.create(repository, {"name": repository, "format": "DOCKER", "cleanupPolicies": {policy["id"]: policy}})


def _account(cloud: Cloud, identifier: str) -> str:
    email = f"{identifier}@{cloud.project}.iam.gserviceaccount.com"
    name = f"projects/{cloud.project}/serviceAccounts/{email}"
    cloud.create(name, {"name": name, "email": email, "projectId": cloud.project})
    return email


def grant(cloud: Cloud, resource: str, roles: Iterable[tuple[str, str]]) -> None:
    """Add members to roles in a resource's policy."""
    policy = cloud.policy(resource)
    for member, role in roles:
        grants.join(policy, member, grants.Role(role))
    cloud.set_policy(resource, policy)


def _secret(cloud: Cloud, identifier: str, member: str) -> None:
    name = f"projects/{cloud.project}/secrets/{identifier}"
    numbered = name.replace(cloud.project, cloud.number, 1)
    if name not in cloud.resources:
        cloud.create(name, {"name": numbered, "replication": {"automatic": {}}})
        cloud.create(f"{name}/versions/1", {"name": f"{numbered}/versions/1", "state": "ENABLED"})
    grant(cloud, name, [(member, "roles/secretmanager.secretAccessor")])
