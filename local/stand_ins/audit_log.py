"""Cloud Audit Logs entries, as Cloud Logging writes them.

For tests, benchmarks and the demo, which give them to the stand-in for Cloud Logging: the emulators write none.
"""

import itertools
import json
from datetime import datetime
from typing import Any, Final

_COUNTER = itertools.count()
PROJECT: Final = "demo-astra"
ADDRESS: Final = "203.0.113.77"
AGENT: Final = "service-123456789012@firebase-rules.iam.gserviceaccount.com"
"""Who acts for everybody who uses our application."""
DOCUMENTS: Final = f"projects/{PROJECT}/databases/(default)/documents"
KEYS: Final = f"projects/{PROJECT}/databases/vault/documents"


def insert_id() -> str:
    """Each entry's own."""
    return f"{next(_COUNTER):x}-insert"


def audited(
    at: datetime,
    who: str,
    service: str,
    method: str,
    resource: str,
    *,
    kind: str = "data_access",
    code: int = 0,
    name: str = "",
    **more: Any,
) -> dict[str, Any]:
    """One entry of the audit log."""
    when = at.isoformat().replace("+00:00", "Z")
    payload = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "status": {"code": code, "message": "PERMISSION_DENIED"} if code else {},
        "authenticationInfo": {"principalEmail": who, "principalSubject": f"serviceAccount:{who}"},
        "requestMetadata": {
            "callerIp": ADDRESS,
            "callerSuppliedUserAgent": "google-cloud-sdk gcloud/550.0.0,gzip(gfe)",
            "requestAttributes": {"time": when, "auth": {}},
            "destinationAttributes": {},
        },
        "serviceName": service,
        "methodName": method,
        "authorizationInfo": [{"resource": resource, "permission": "some.permission", "granted": not code}],
        "resourceName": resource,
        **more,
    }
    return {
        "protoPayload": payload,
        "insertId": name or insert_id(),
        "resource": {"type": "audited_resource", "labels": {"project_id": PROJECT, "service": service}},
        "timestamp": when,
        "severity": "ERROR" if code else "INFO",
        "logName": f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2F{kind}",
        "receiveTimestamp": when,
    }


def read(at: datetime, who: str, *paths: str, database: str = "(default)", **more: Any) -> dict[str, Any]:
    """Documents looked up by their names."""
    root = f"projects/{PROJECT}/databases/{database}"
    request = {
        "@type": "type.googleapis.com/google.firestore.v1.BatchGetDocumentsRequest",
        "database": root,
        "documents": [f"{root}/documents/{path}" for path in paths],
    }
    metadata = {"@type": "type.googleapis.com/google.cloud.audit.DatastoreServiceData"}
    method = "google.firestore.v1.Firestore.BatchGetDocuments"
    return audited(at, who, "firestore.googleapis.com", method, root, request=request, metadata=metadata, **more)


def listed(
    at: datetime, who: str, collection: str, database: str = "(default)", *, items: int = 3, **more: Any
) -> dict[str, Any]:
    """A collection gone through: whose documents were in it the log does not say."""
    root = f"projects/{PROJECT}/databases/{database}"
    request = {"parent": f"{root}/documents", "collectionId": collection, "pageSize": 100}
    method, answered = "google.firestore.v1.Firestore.ListDocuments", {"numResponseItems": str(items)}
    return audited(at, who, "firestore.googleapis.com", method, root, request=request, **answered, **more)


def listened(at: datetime, uid: str, *paths: str, query: str = "", **more: Any) -> dict[str, Any]:
    """A web client listens to documents, or to a query's: an agent of Firebase's rules acts for whoever uses it."""
    root = f"projects/{PROJECT}/databases/(default)"
    target: dict[str, Any] = {"documents": {"documents": [f"{DOCUMENTS}/{path}" for path in paths]}}
    if query:
        target = {"query": {"parent": DOCUMENTS, "structuredQuery": {"from": [{"collectionId": query}]}}}
    request = {"database": root, "addTarget": {**target, "targetId": 2}}
    method = "google.firestore.v1.Firestore.Listen"
    entry = audited(at, AGENT, "firestore.googleapis.com", method, root, request=request, **more)
    token = {"iss": f"https://securetoken.google.com/{PROJECT}", "aud": PROJECT, "sub": uid, "user_id": uid}
    entry["protoPayload"]["authenticationInfo"] = {
        "principalEmail": AGENT,
        "thirdPartyPrincipal": {"payload": token},
    }
    return entry


def committed(
    at: datetime, who: str, *, deletes: list[str] | None = None, sets: list[str] | None = None
) -> dict[str, Any]:
    """One commit."""
    root = f"projects/{PROJECT}/databases/(default)"
    writes = [{"delete": f"{DOCUMENTS}/{path}"} for path in deletes or []]
    writes += [{"update": {"name": f"{DOCUMENTS}/{path}"}} for path in sets or []]
    request = {"database": root, "writes": writes}
    return audited(at, who, "firestore.googleapis.com", "google.firestore.v1.Firestore.Commit", root, request=request)


def object_read(at: datetime, who: str, path: str, **more: Any) -> dict[str, Any]:
    """An object of the bucket, downloaded."""
    resource = f"projects/_/buckets/{PROJECT}.appspot.com/objects/{path}"
    return audited(at, who, "storage.googleapis.com", "storage.objects.get", resource, **more)


def object_deleted(at: datetime, who: str, path: str) -> dict[str, Any]:
    """An object, deleted."""
    resource = f"projects/_/buckets/{PROJECT}.appspot.com/objects/{path}"
    return audited(at, who, "storage.googleapis.com", "storage.objects.delete", resource)


def decrypted(at: datetime, who: str, **more: Any) -> dict[str, Any]:
    """A use of the key service."""
    key = f"projects/{PROJECT}/locations/us-central1/keyRings/astra/cryptoKeys/users"
    return audited(at, who, "cloudkms.googleapis.com", "Decrypt", key, **more)


def activity(at: datetime, who: str, service: str, method: str, resource: str = "", **more: Any) -> dict[str, Any]:
    """An administrator's act."""
    return audited(at, who, service, method, resource or f"projects/{PROJECT}", kind="activity", **more)


def key_created(at: datetime, who: str) -> dict[str, Any]:
    """A key of a service account, made."""
    account = f"projects/-/serviceAccounts/uploads-functions@{PROJECT}.iam.gserviceaccount.com"
    return activity(at, who, "iam.googleapis.com", "google.iam.admin.v1.CreateServiceAccountKey", account)


def policy_set(at: datetime, who: str, *, without_audit: bool = False, exempting: str = "") -> dict[str, Any]:
    """Who may do what, changed."""
    delta: dict[str, Any] = {
        "bindingDeltas": [{"action": "ADD", "role": "roles/owner", "member": "user:x@example.com"}]
    }
    if exempting:
        change = {"action": "ADD", "service": "allServices", "logType": "DATA_READ", "exemptedMember": exempting}
        delta = {"auditConfigDeltas": [change]}
    if without_audit:
        delta = {"auditConfigDeltas": [{"action": "REMOVE", "service": "allServices", "logType": "DATA_READ"}]}
    data = {"@type": "type.googleapis.com/google.iam.v1.logging.AuditData", "policyDelta": delta}
    return activity(at, who, "cloudresourcemanager.googleapis.com", "SetIamPolicy", serviceData=data)


def sign_in(at: datetime, *, refused: bool) -> dict[str, Any]:
    """Somebody signs in with a password."""
    method = "google.cloud.identitytoolkit.v1.AuthenticationService.SignInWithPassword"
    return audited(at, "", "identitytoolkit.googleapis.com", method, f"projects/{PROJECT}", code=3 if refused else 0)


def own(at: datetime, event: str, **fields: Any) -> dict[str, Any]:
    """A line of our own functions."""
    when = at.isoformat().replace("+00:00", "Z")
    return {
        "insertId": insert_id(),
        "jsonPayload": {"event": event, **fields},
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": "open-image"}},
        "timestamp": when,
        "severity": "INFO",
        "logName": f"projects/{PROJECT}/logs/run.googleapis.com%2Fstdout",
    }


def wire(*entries: dict[str, Any]) -> list[bytes]:
    """As the sink publishes them: a message each."""
    return [json.dumps(entry).encode() for entry in entries]
