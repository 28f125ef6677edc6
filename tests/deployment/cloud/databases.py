"""Firestore's administration: databases, composite indexes, field overrides and time-to-live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.deployment.cloud.service import Ask, Json, Refusal, check_name, fields, serves
from tests.deployment.cloud.state import now

if TYPE_CHECKING:
    from tests.deployment.cloud.state import Cloud

_ALL: Final = "firestore.googleapis.com/v1/projects/{project}/databases"
_ONE: Final = f"{_ALL}/{{database}}"
_GROUP: Final = f"{_ONE}/collectionGroups/{{group}}"
_DATABASE: Final = fields(
    "name locationId type concurrencyMode appEngineIntegrationMode pointInTimeRecoveryEnablement deleteProtectionState "
    "databaseEdition cmekConfig etag tags realtimeUpdatesMode firestoreDataAccessMode mongodbCompatibleDataAccessMode"
)
_FIELD: Final = fields("fieldPath order arrayConfig vectorConfig searchConfig")
_INDEX: Final = fields("name queryScope apiScope density multikey unique", fields=[_FIELD])
_OVERRIDE: Final = fields("name", indexConfig=fields("usesAncestorConfig", indexes=[_INDEX]), ttlConfig=fields("state"))
_LOCATIONS: Final = {"nam5", "nam7", "eur3", "us-central1", "us-east1", "europe-west1", "europe-west3", "europe-west4"}


def _name(ask: Ask) -> str:
    return f"projects/{ask['project']}/databases/{ask['database']}"


@serves("GET", _ALL, permission="datastore.databases.list")
def list_databases(cloud: Cloud, _ask: Ask) -> Json:
    """List databases."""
    return {"databases": cloud.under(f"projects/{cloud.project}", "databases")}


@serves("POST", _ALL, permission="datastore.databases.create")
def create_database(cloud: Cloud, ask: Ask) -> Json:
    """Create a database."""
    identifier = ask.query.get("databaseId", "")
    if identifier != "(default)":
        check_name("Database ID", identifier, r"[a-z](?:[-a-z0-9]{2,61}[a-z0-9])")
    body = ask.json(_DATABASE)
    if body.get("locationId") not in _LOCATIONS:
        raise Refusal("INVALID_ARGUMENT", f"Invalid locationId '{body.get('locationId')}'.")
    name = f"projects/{cloud.project}/databases/{identifier}"
    database = {
        "databaseEdition": "STANDARD",
        "pointInTimeRecoveryEnablement": "POINT_IN_TIME_RECOVERY_DISABLED",
        **body,
        "name": name,
        "createTime": now(),
    }
    cloud.create(name, database)
    return cloud.start(name, lambda: database).body


@serves("GET", _ONE, permission="datastore.databases.getMetadata")
def get_database(cloud: Cloud, ask: Ask) -> Json:
    """Describe a database."""
    return cloud.get(_name(ask))


@serves("GET", f"{_ONE}/operations/{{operation}}", permission="datastore.operations.get")
def get_operation(cloud: Cloud, ask: Ask) -> Json:
    """Say how far an operation is."""
    return cloud.operations[f"{_name(ask)}/operations/{ask['operation']}"].body


@serves("GET", f"{_GROUP}/indexes", permission="datastore.indexes.list")
def list_indexes(cloud: Cloud, ask: Ask) -> Json:
    """List composite indexes."""
    cloud.get(_name(ask))
    return {"indexes": cloud.under(f"{_name(ask)}/collectionGroups/-", "indexes")}


@serves("POST", f"{_GROUP}/indexes", permission="datastore.indexes.create")
def create_index(cloud: Cloud, ask: Ask) -> Json:
    """Create a composite index: of two fields or more, and not twice."""
    cloud.get(_name(ask))
    body = ask.json(_INDEX, "index")
    named = [one for one in body["fields"] if one["fieldPath"] != "__name__"]
    if (
        len(named) < 2
        and body.get("queryScope") != "COLLECTION_GROUP"
        and not any("arrayConfig" in one for one in named)
    ):
        raise Refusal("INVALID_ARGUMENT", "this index is not necessary, configure using single field index controls")
    last = named[-1].get("order", "ASCENDING")
    body["fields"] = [*named, {"fieldPath": "__name__", "order": last}]
    for other in cloud.under(f"{_name(ask)}/collectionGroups/{ask['group']}", "indexes"):
        if (other["fields"], other["queryScope"]) == (body["fields"], body.get("queryScope")):
            raise Refusal("ALREADY_EXISTS", "index already exists")
    name = f"{_name(ask)}/collectionGroups/{ask['group']}/indexes/CICAgJ{len(cloud.resources)}"
    index = cloud.create(name, {**body, "name": name, "state": "READY"})
    return cloud.start(_name(ask), lambda: index).body


@serves("DELETE", f"{_GROUP}/indexes/{{index}}", permission="datastore.indexes.delete")
def delete_index(cloud: Cloud, ask: Ask) -> Json:
    """Delete a composite index."""
    cloud.delete(f"{_name(ask)}/collectionGroups/{ask['group']}/indexes/{ask['index']}")
    return {}


@serves("GET", f"{_GROUP}/fields", permission="datastore.indexes.list")
def list_fields(cloud: Cloud, ask: Ask) -> Json:
    """List fields that differ from their database's defaults."""
    cloud.get(_name(ask))
    return {"fields": cloud.under(f"{_name(ask)}/collectionGroups/-", "fields")}


@serves("PATCH", f"{_GROUP}/fields/{{field}}", permission="datastore.indexes.update")
def update_field(cloud: Cloud, ask: Ask) -> Json:
    """Override a field's indexes or its time-to-live; without either it has its database's defaults again."""
    cloud.get(_name(ask))
    body = ask.json(_OVERRIDE, "field")
    name = f"{_name(ask)}/collectionGroups/{ask['group']}/fields/{ask['field']}"
    if "indexConfig" not in body and "ttlConfig" not in body:
        cloud.resources.pop(name, None)
        return cloud.start(_name(ask), lambda: {"name": name}).body
    field: dict[str, Any] = {**cloud.resources.get(name, {}), **body, "name": name}
    if ask.mask() != ["indexConfig"] and "ttlConfig" not in body:
        field.pop("ttlConfig", None)
    if "ttlConfig" in field:
        field["ttlConfig"] = {"state": "ACTIVE"}
    # The API returns each index with its state, and leaves an empty list out.
    indexes = [{**one, "state": "READY"} for one in field.get("indexConfig", {}).get("indexes", [])]
    field["indexConfig"] = {"indexes": indexes} if indexes else {}
    cloud.resources[name] = field
    return cloud.start(_name(ask), lambda: field).body
