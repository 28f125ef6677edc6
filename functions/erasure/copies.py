"""The platform's own copies of what was deleted, and how long they last: asked of the platform, for a certificate must
not promise what the project's settings do not keep."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from google.cloud.storage import Bucket

from astra.platform import Platform
from astra.settings import ErasureSettings, emulated

if TYPE_CHECKING:
    from google.cloud.firestore_admin_v1 import FirestoreAdminClient

_PAST: Final = "past states of the default database"
_BACKUPS: Final = "backups of the default database; the tombstone erases again after a restore"
_DELETED: Final = "sealed objects in the bucket's soft-delete: noise without the key"
_KEYS: Final = "wrapped keys: until then, copies of sealed content could be opened with them"


@dataclass(frozen=True)
class Copy:
    """One kind of copy. `lasts` counts from the deletion."""

    name: str
    lasts: timedelta
    why: str


def lasting(platform: Platform[ErasureSettings]) -> list[Copy]:
    """The copies that outlive a deletion in this project. Raises what the platform's own APIs raise."""
    if emulated():
        # The emulators have neither copies nor these APIs: what is set stands for them.
        days = platform.settings.copies_days
        asked = {"soft-delete": _DELETED, "point-in-time-recovery": _PAST, "backup": _BACKUPS}
        return [Copy(name, timedelta(days=days[name]), why) for name, why in asked.items() if days.get(name)]
    from google.cloud.firestore_admin_v1 import FirestoreAdminClient  # noqa: PLC0415  (slow, and needed once a job)

    return of_project(platform.bucket, FirestoreAdminClient(), platform.db.project)


def of_project(bucket: Bucket, admin: "FirestoreAdminClient", project: str) -> list[Copy]:
    """The same, from the bucket's policy and both databases' settings."""
    bucket.reload()
    soft_deleted = timedelta(seconds=bucket.soft_delete_policy.retention_duration_seconds or 0)
    found = [
        Copy("soft-delete", soft_deleted, _DELETED),
        *_of_database(admin, f"projects/{project}/databases/(default)", "", _PAST, _BACKUPS),
        *_of_database(admin, f"projects/{project}/databases/vault", " of keys", _KEYS, _KEYS),
    ]
    return [copy for copy in found if copy.lasts]


def _of_database(admin: "FirestoreAdminClient", name: str, of: str, past: str, backups: str) -> Iterator[Copy]:
    settings = admin.get_database(name=name)
    if settings.point_in_time_recovery_enablement.name == "POINT_IN_TIME_RECOVERY_ENABLED":
        yield Copy(f"point-in-time-recovery{of}", settings.version_retention_period, past)
    schedules = admin.list_backup_schedules(parent=name).backup_schedules
    yield Copy(f"backup{of}", max((schedule.retention for schedule in schedules), default=timedelta(0)), backups)
