"""What a certificate says of the platform's own copies. Neither the Firestore Admin API nor a bucket's soft-delete
policy has an emulator, so two stand-ins speak their protocols: a gRPC server made from Google's own messages, and an
HTTP server."""

from collections.abc import Iterator
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import PermissionDenied
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.firestore_admin_v1 import FirestoreAdminClient
from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport
from google.cloud.firestore_admin_v1.types import (
    Backup,
    BackupSchedule,
    Database,
    GetDatabaseRequest,
    ListBackupSchedulesRequest,
    ListBackupSchedulesResponse,
    ListBackupsRequest,
    ListBackupsResponse,
)
from werkzeug.routing import Map, Rule

from erasure import residual_copies
from local.http_stand_in import HttpStandIn, answer

PITR = Database.PointInTimeRecoveryEnablement
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = "google.firestore.admin.v1.FirestoreAdmin"


class Admin:
    """Settings of databases, by their last name."""

    def __init__(self) -> None:
        self.past: dict[str, int] = {}
        self.backups: dict[str, list[int]] = {}
        self.made: dict[str, list[int]] = {}
        self.unreachable: list[str] = []
        self.forbidden = False

    def get(self, request: GetDatabaseRequest, context: grpc.ServicerContext) -> Database:
        if self.forbidden:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "datastore.databases.get")
        days = self.past.get(request.name.rpartition("/")[2], 0)
        enabled = PITR.POINT_IN_TIME_RECOVERY_ENABLED if days else PITR.POINT_IN_TIME_RECOVERY_DISABLED
        # Switched off, a database still keeps an hour, which nobody can restore.
        kept = timedelta(days=days) if days else timedelta(hours=1)
        return Database(point_in_time_recovery_enablement=enabled, version_retention_period=kept)

    def list(self, request: ListBackupSchedulesRequest, _context: grpc.ServicerContext) -> ListBackupSchedulesResponse:
        days = self.backups.get(request.parent.rpartition("/")[2], [])
        return ListBackupSchedulesResponse(backup_schedules=[BackupSchedule(retention=timedelta(days=d)) for d in days])

    def made_so_far(self, request: ListBackupsRequest, _context: grpc.ServicerContext) -> ListBackupsResponse:
        assert request.parent == "projects/p/locations/-"
        made = [
            Backup(database=f"projects/p/databases/{name}", expire_time=NOW + timedelta(days=ends))
            for name, days in self.made.items()
            for ends in days
        ]
        return ListBackupsResponse(backups=made, unreachable=self.unreachable)


class Buckets(HttpStandIn):
    """One bucket's metadata."""

    PUBLIC = "/"
    seconds = 0

    def _show(self, _request: Any, **_names: str) -> Any:
        return answer({"name": "b", "softDeletePolicy": {"retentionDurationSeconds": str(self.seconds)}})


@pytest.fixture
def admin() -> Admin:
    return Admin()


@pytest.fixture
def client(admin: Admin) -> Iterator[FirestoreAdminClient]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(method, asked.deserialize, answered.serialize)
        for name, method, asked, answered in (
            ("GetDatabase", admin.get, GetDatabaseRequest, Database),
            ("ListBackupSchedules", admin.list, ListBackupSchedulesRequest, ListBackupSchedulesResponse),
            ("ListBackups", admin.made_so_far, ListBackupsRequest, ListBackupsResponse),
        )
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    yield FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel))
    channel.close()
    server.stop(None).wait()


@pytest.fixture
def buckets() -> Iterator[Buckets]:
    with Buckets(0, Map([Rule("/storage/v1/b/<name>", methods=["GET"], endpoint="_show")])) as running:
        yield running


def asked(buckets: Buckets, client: FirestoreAdminClient) -> dict[str, float]:
    server = storage.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": buckets.url}
    )
    found = residual_copies.of_project(server.bucket("b"), client, "p", NOW)
    return {copy.name: copy.lasts / timedelta(days=1) for copy in found}


def test_a_project_without_copies_has_nothing_to_confess(buckets: Buckets, client: FirestoreAdminClient) -> None:
    assert asked(buckets, client) == {}


def test_each_copy_lasts_as_long_as_the_project_is_set_to(
    buckets: Buckets, client: FirestoreAdminClient, admin: Admin
) -> None:
    buckets.seconds, admin.past, admin.backups = 7 * 86400, {"(default)": 7}, {"(default)": [7, 98]}
    assert asked(buckets, client) == {"soft-delete": 7, "point-in-time-recovery": 7, "backup": 98}


def test_a_copy_of_the_keys_is_not_passed_over(buckets: Buckets, client: FirestoreAdminClient, admin: Admin) -> None:
    admin.past, admin.backups = {"vault": 7}, {"vault": [14]}
    assert asked(buckets, client) == {"point-in-time-recovery of keys": 7, "backup of keys": 14}


def test_a_backup_outlives_its_schedule(buckets: Buckets, client: FirestoreAdminClient, admin: Admin) -> None:
    admin.backups, admin.made = {"(default)": [7]}, {"(default)": [3, 90, -1], "vault": [20], "another": [98]}
    assert asked(buckets, client) == {"backup": 90, "backup of keys": 20}


def test_backups_that_cant_be_seen_are_not_taken_for_none(
    buckets: Buckets, client: FirestoreAdminClient, admin: Admin
) -> None:
    admin.unreachable = ["projects/p/locations/nam5"]
    with pytest.raises(ConnectionError, match="nam5"):
        asked(buckets, client)


def test_what_may_not_be_asked_is_not_taken_for_nothing(
    buckets: Buckets, client: FirestoreAdminClient, admin: Admin
) -> None:
    admin.forbidden = True
    with pytest.raises(PermissionDenied):
        asked(buckets, client)
