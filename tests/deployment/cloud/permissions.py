"""Predefined IAM roles, as far as deployment and the functions' triggers need them.

A role's permissions are patterns: `*` within one is anything. Only what the stand-in checks is listed, so that a role
missing here, or a permission missing in a role, makes a rehearsal fail and never pass.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

_READ: Final = ("*.get", "*.list", "*.getIamPolicy")
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "roles/owner": ("*",),
    "roles/editor": (*_READ, "cloudfunctions.*", "run.*", "eventarc.*", "cloudtasks.*", "cloudscheduler.*"),
    "roles/viewer": _READ,
    # More than its name says: it reads every document, file and account, and the project's policy.
    "roles/firebase.viewer": (
        "firebase.projects.get",
        "firebaseauth.*.get",
        "firebaserules.*.get",
        "firebaserules.*.list",
        "firebasestorage.*.get",
        "firebasestorage.*.list",
        "storage.buckets.get",
        "storage.buckets.list",
        "storage.objects.get",
        "storage.objects.list",
        "datastore.databases.get",
        "datastore.databases.getMetadata",
        "datastore.databases.list",
        "datastore.entities.get",
        "datastore.entities.list",
        "datastore.indexes.get",
        "datastore.indexes.list",
        "cloudfunctions.*.get",
        "cloudfunctions.*.list",
        "resourcemanager.projects.get",
        "resourcemanager.projects.getIamPolicy",
    ),
    "roles/firebase.admin": (
        "firebase.*",
        "firebaserules.*",
        "firebaseauth.*",
        "datastore.*",
        "storage.*",
        "cloudfunctions.*",
        "serviceusage.*",
        "resourcemanager.projects.get",
        "resourcemanager.projects.getIamPolicy",
    ),
    "roles/firebase.developAdmin": ("firebase.*", "firebaserules.*", "firebaseauth.*", "datastore.*", "storage.*"),
    "roles/firebaserules.admin": ("firebaserules.*", "firebase.projects.get", "resourcemanager.projects.get"),
    "roles/firebaseauth.admin": ("firebaseauth.*", "firebase.projects.get", "identitytoolkit.*"),
    "roles/firebaseauth.viewer": ("firebaseauth.configs.get", "firebaseauth.users.get"),
    "roles/cloudfunctions.admin": (
        "cloudfunctions.*",
        "run.*",
        "eventarc.*",
        "cloudbuild.builds.get",
        "cloudscheduler.*",
        "artifactregistry.repositories.get",
        "resourcemanager.projects.get",
        "serviceusage.services.get",
    ),
    "roles/cloudfunctions.developer": (
        "cloudfunctions.functions.[!s]*",
        "cloudfunctions.operations.*",
        "cloudfunctions.locations.*",
        "eventarc.*",
        "run.services.get",
        "run.services.list",
        "resourcemanager.projects.get",
        "serviceusage.services.get",
    ),
    "roles/run.admin": ("run.*", "resourcemanager.projects.get"),
    "roles/run.invoker": ("run.routes.invoke", "run.jobs.run"),
    "roles/run.viewer": ("run.*.get", "run.*.list", "run.*.getIamPolicy"),
    "roles/iam.serviceAccountUser": ("iam.serviceAccounts.actAs", "iam.serviceAccounts.get"),
    "roles/iam.serviceAccountAdmin": ("iam.serviceAccounts.[!a]*",),
    "roles/iam.serviceAccountTokenCreator": (
        "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccounts.getOpenIdToken",
    ),
    "roles/iam.roleAdmin": ("iam.roles.*",),
    "roles/iam.securityReviewer": ("*.getIamPolicy", "iam.roles.get"),
    "roles/browser": ("resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy"),
    "roles/resourcemanager.projectIamAdmin": ("resourcemanager.projects.*IamPolicy", "resourcemanager.projects.get"),
    "roles/secretmanager.admin": ("secretmanager.*",),
    "roles/secretmanager.viewer": (
        "secretmanager.secrets.get*",
        "secretmanager.secrets.list",
        "secretmanager.versions.[!a]*",
    ),
    "roles/secretmanager.secretAccessor": ("secretmanager.versions.access",),
    "roles/secretmanager.secretVersionAdder": ("secretmanager.versions.add",),
    "roles/serviceusage.serviceUsageAdmin": ("serviceusage.*",),
    "roles/serviceusage.serviceUsageConsumer": ("serviceusage.services.get", "serviceusage.services.use"),
    "roles/serviceusage.serviceUsageViewer": ("serviceusage.services.get", "serviceusage.services.list"),
    "roles/cloudscheduler.admin": ("cloudscheduler.*",),
    "roles/cloudtasks.admin": ("cloudtasks.*",),
    "roles/cloudtasks.queueAdmin": ("cloudtasks.queues.*",),
    "roles/cloudtasks.enqueuer": ("cloudtasks.tasks.create",),
    "roles/eventarc.eventReceiver": ("eventarc.events.receiveEvent",),
    "roles/eventarc.admin": ("eventarc.*",),
    "roles/pubsub.admin": ("pubsub.*",),
    "roles/pubsub.editor": ("pubsub.topics.*", "pubsub.subscriptions.*"),
    "roles/pubsub.publisher": ("pubsub.topics.publish",),
    "roles/artifactregistry.admin": ("artifactregistry.*",),
    "roles/artifactregistry.reader": ("artifactregistry.repositories.get", "artifactregistry.repositories.list"),
    "roles/cloudbuild.builds.builder": ("cloudbuild.builds.*", "storage.objects.get", "logging.logEntries.create"),
    "roles/storage.admin": ("storage.*",),
    "roles/storage.objectAdmin": ("storage.objects.*",),
    "roles/storage.objectUser": ("storage.objects.*",),
    "roles/storage.objectViewer": ("storage.objects.get", "storage.objects.list"),
    "roles/storage.legacyBucketReader": ("storage.buckets.get", "storage.objects.list"),
    "roles/firebasestorage.admin": ("firebasestorage.*", "storage.buckets.get"),
    "roles/firebasestorage.viewer": ("firebasestorage.*.get", "firebasestorage.*.list"),
    "roles/datastore.owner": ("datastore.*",),
    "roles/datastore.user": ("datastore.entities.*", "datastore.databases.get", "datastore.databases.getMetadata"),
    "roles/datastore.viewer": ("datastore.entities.get", "datastore.databases.get", "datastore.databases.getMetadata"),
    "roles/datastore.indexAdmin": ("datastore.indexes.*", "datastore.databases.get*", "datastore.operations.*"),
    "roles/datastore.backupSchedulesViewer": ("datastore.backupSchedules.get", "datastore.backupSchedules.list"),
    "roles/datastore.backupsViewer": ("datastore.backups.get", "datastore.backups.list"),
    "roles/compute.viewer": ("compute.*.get", "compute.*.list"),
    "roles/cloudkms.admin": ("cloudkms.*",),
    "roles/cloudkms.cryptoKeyEncrypterDecrypter": ("cloudkms.cryptoKeyVersions.useTo*",),
    "roles/logging.admin": ("logging.*",),
    "roles/logging.configWriter": ("logging.sinks.*", "logging.logMetrics.*"),
    "roles/logging.logWriter": ("logging.logEntries.create",),
    "roles/logging.privateLogViewer": ("logging.logEntries.list", "logging.privateLogEntries.list"),
    "roles/monitoring.admin": ("monitoring.*",),
    "roles/monitoring.metricWriter": ("monitoring.timeSeries.create",),
    "roles/firebaserules.firestoreServiceAgent": ("datastore.entities.get", "datastore.entities.list"),
    "roles/firebaserules.viewer": ("firebaserules.*.get", "firebaserules.*.list"),
    "roles/runtimeconfig.admin": ("runtimeconfig.*",),
}


#: What Google lets no role of a project's own hold.
_NOT_IN_OWN_ROLES: Final = {"resourcemanager.projects.list"}


def may_be_in_own_role(permission: str) -> bool:
    """True if a role of the project's own may hold the permission: it is one, without `*`, and no organization's."""
    return bool(re.fullmatch(r"[a-z]+(\.[a-zA-Z]+){2}", permission)) and permission not in _NOT_IN_OWN_ROLES


def grants(role: str, permission: str) -> bool:
    """True if the predefined role holds the permission."""
    return any(fnmatchcase(permission, pattern) for pattern in ROLES.get(role, ()))
