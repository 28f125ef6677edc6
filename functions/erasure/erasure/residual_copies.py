"""Residual copies: the platform's backups and soft deletes, and how long they last.

The platform is asked: a certificate must not promise what the project's settings do not keep.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from google.cloud.storage import Bucket

from astra.runtime.platform import Platform
from astra.runtime.settings import emulated

from erasure.settings import ErasureSettings

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

    return of_project(platform.bucket, FirestoreAdminClient(), platform.db.project, platform.clock())


def of_project(bucket: Bucket, admin: "FirestoreAdminClient", project: str, now: datetime) -> list[Copy]:
    """The same, from the bucket's policy, both databases' settings and the backups there are."""
    bucket.reload()
    soft_deleted = timedelta(seconds=bucket.soft_delete_policy.retention_duration_seconds or 0)
    made = admin.list_backups(parent=f"projects/{project}/locations/-")
    if made.unreachable:
        raise ConnectionError(f"backups in {', '.join(made.unreachable)} can't be listed now")
    found = [Copy("soft-delete", soft_deleted, _DELETED)]
    for database, of, past, backups in (("(default)", "", _PAST, _BACKUPS), ("vault", " of keys", _KEYS, _KEYS)):
        name = f"projects/{project}/databases/{database}"
        settings = admin.get_database(name=name)
        if settings.point_in_time_recovery_enablement.name == "POINT_IN_TIME_RECOVERY_ENABLED":
            found.append(Copy(f"point-in-time-recovery{of}", settings.version_retention_period, past))
        # A backup outlives its schedule, if that was deleted or shortened.
        ends = [backup.expire_time - now for backup in made.backups if backup.database == name]
        kept = [schedule.retention for schedule in admin.list_backup_schedules(parent=name).backup_schedules]
        found.append(Copy(f"backup{of}", max(ends + kept, default=timedelta(0)), backups))
    return [copy for copy in found if copy.lasts > timedelta(0)]
