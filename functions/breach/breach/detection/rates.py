"""Rate detectors: a principal does far more than in its two weeks before.

A count is of different elements (people read of, documents listed or deleted, entries) in an hour, and is kept as a
HyperLogLog: an entry that is delivered twice changes nothing, whichever comes first, and a count is never larger for
it. Counted is the hour in which something happened. What a count is held against is what the same principal did in its
busiest hours of two weeks, so that a spike does not become ordinary by lasting, nor a busy service a suspect.

    watch:{detector}:{about}:{hour}    the elements, for three hours after they were last added to
    watch:past:{detector}:{about}      busy hours and their counts, for fifteen days
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from astra.datamap.lookup import owner
from astra.runtime import log

from breach.detection.audit_log import (
    AuditLog,
    Detector,
    LogEntry,
    Mark,
    Severity,
    Signal,
    hour_of,
    is_service,
    principal_of,
)
from breach.detection.rules import Watch
from breach.thresholds import Thresholds

READS: Final = {
    *(f"google.firestore.v1.Firestore.{verb}" for verb in ("GetDocument", "BatchGetDocuments", "RunQuery", "Listen")),
    *("google.firestore.v1.Firestore.ListDocuments", "storage.objects.get"),
}
_DELETES: Final = {
    *("google.firestore.v1.Firestore.DeleteDocument", "storage.objects.delete"),
    *("google.cloud.identitytoolkit.v1.AccountManagementService.DeleteAccount",),
}
_WHOLESALE: Final = {
    "google.firestore.admin.v1.FirestoreAdmin.BulkDeleteDocuments",
    "google.firestore.admin.v1.FirestoreAdmin.DeleteDatabase",
    "google.cloud.identitytoolkit.v1.AccountManagementService.BatchDeleteAccounts",
    "storage.buckets.delete",
}
"""Deletions of which the log names no single one: each counts as one too many."""
_ACCOUNTS: Final = "google.cloud.identitytoolkit.v1.AccountManagementService.DownloadAccount"
_MAX_ACCOUNTS_A_PAGE: Final = 1000
"""The most that one of it answers."""
_WHOLE_EXPORTS: Final = {"google.firestore.admin.v1.FirestoreAdmin.ExportDocuments", _ACCOUNTS}
"""A backup is made by a schedule of the platform's own, under no name: who exports everything by hand is a thief, or a
deployer who has announced it."""
_COMMITS: Final = {"google.firestore.v1.Firestore.Commit", "google.firestore.v1.Firestore.BatchWrite"}
_SIGN_IN: Final = "google.cloud.identitytoolkit.v1.AuthenticationService.SignIn"
_REFUSED: Final = (7, 16)  # PERMISSION_DENIED, UNAUTHENTICATED
_ALL: Final = "everybody"
_ALARM_FACTOR: Final = 3
_MAX_LISTED_ACCOUNTS: Final = 10_000
"""As many as one listing counts for: more would say nothing more."""
PAST: Final = timedelta(days=15)


def marks(entry: LogEntry, watch: Watch) -> Iterable[Mark]:
    """What this entry adds to which counts."""
    at, name = entry.timestamp, entry.insertId
    if (audit := entry.protoPayload) is not None:
        counted = _COUNTED.get(audit.methodName)
        if counted is None and not audit.status.code:
            return ()
        return [
            Mark(detector, who, hour_of(at), element, at, name, whole)
            for detector, who, element, whole in _of_audit(audit, entry, watch)
        ]
    if (line := entry.jsonPayload) is None or line.event not in _OWN_EVENTS:
        return ()
    detector, everybodys = _OWN_EVENTS[line.event]
    return (Mark(detector, _ALL if everybodys else line.actor or _ALL, hour_of(at), name, at, name),)


_OWN_EVENTS: Final[Mapping[str, tuple[Detector, bool]]] = {
    log.Event.ACCESS_DENIED: (Detector.DENIALS, False),
    log.Event.SIGN_IN_REFUSED: (Detector.STUFFING, True),
    log.Event.IMAGE_OPENED: (Detector.DECRYPTS, False),
    log.Event.ITEM_DELETED: (Detector.DELETIONS, True),
    log.Event.ERASURE_REQUESTED: (Detector.DELETIONS, True),
    "export.requested": (Detector.EXPORTS, True),
}


def _of_audit(audit: AuditLog, entry: LogEntry, watch: Watch) -> Iterator[tuple[Detector, str, str, bool]]:
    """Yield the detector, the principal, what is counted, and whether it stands for everything at once."""
    if audit.methodName.startswith(_SIGN_IN):
        if audit.status.code:
            yield Detector.STUFFING, _ALL, entry.insertId, False
        return
    who = principal_of(audit, watch.names)
    if audit.status.code in _REFUSED:
        yield Detector.DENIALS, who, entry.insertId, False
    elif not audit.status.code and audit.methodName in _COUNTED:
        detector, elements = _COUNTED[audit.methodName]
        if detector is not Detector.DELETIONS and watch.is_announced(audit.authenticationInfo.principalEmail):
            return  # to wrap all keys anew reads and opens each; a copy is made before a migration
        if audit.methodName == _ACCOUNTS and who in watch.thorough:
            detector, elements = Detector.LISTINGS, _account_page
        elif audit.methodName in READS and not audit.places:
            detector, elements = Detector.LISTINGS, _answered
        for element in elements(audit, entry.insertId):
            yield detector, who, element, elements is _whole


def _people(audit: AuditLog, _name: str) -> Iterator[str]:
    for place in audit.places:
        if owned := owner(*place):
            yield owned[1]


def _answered(audit: AuditLog, name: str) -> Iterator[str]:
    """Of whom, the log does not say. Each has the entry's name: delivered twice, it adds nothing."""
    return (f"{name} {number}" for number in range(min(audit.numResponseItems, _MAX_LISTED_ACCOUNTS)))


def _account_page(_audit: AuditLog, name: str) -> Iterator[str]:
    """The same, where the log does not say how many either."""
    return (f"{name} {number}" for number in range(_MAX_ACCOUNTS_A_PAGE))


def _things(audit: AuditLog, name: str) -> Iterator[str]:
    found = audit.places
    yield from (path for _, path in found) if found else (name,)


def _deleted(audit: AuditLog, _name: str) -> Iterator[str]:
    for write in (audit.request or {}).get("writes") or ():
        if isinstance(write, dict) and isinstance(write.get("delete"), str):
            yield write["delete"]


def _used(audit: AuditLog, name: str) -> Iterator[str]:
    if audit.serviceName == "cloudkms.googleapis.com":
        yield name


def _whole(_audit: AuditLog, name: str) -> Iterator[str]:
    yield name


_COUNTED: Final[Mapping[str, tuple[Detector, Callable[[AuditLog, str], Iterator[str]]]]] = {
    **dict.fromkeys(READS, (Detector.READS, _people)),
    **dict.fromkeys(_DELETES, (Detector.DELETIONS, _things)),
    **dict.fromkeys(_COMMITS, (Detector.DELETIONS, _deleted)),
    "Decrypt": (Detector.DECRYPTS, _used),
    **dict.fromkeys(_WHOLE_EXPORTS, (Detector.EXPORTS, _whole)),
    **dict.fromkeys(_WHOLESALE, (Detector.DELETIONS, _whole)),
}


def floor(mark: Mark, watch: Watch, thresholds: Thresholds) -> int:
    """Up to how much somebody without a past is ordinary."""
    detector, about = mark.detector, mark.about
    service = is_service(about)
    service_reads = thresholds.thorough_reads if about in watch.thorough else thresholds.service_reads
    floors = {
        Detector.READS: service_reads if service else thresholds.staff_reads,
        Detector.LISTINGS: thresholds.service_listings if service else thresholds.staff_listings,
        Detector.DECRYPTS: thresholds.decrypts if service else thresholds.images_opened,
        Detector.EXPORTS: thresholds.exports if about == _ALL else 0,
        Detector.DENIALS: thresholds.denials,
        Detector.STUFFING: thresholds.refused_sign_ins,
    }
    return floors.get(detector, thresholds.deletions)


def is_busy(mark: Mark, count: int, floor: int, factor: int) -> bool:
    """Whether an hour's count is worth remembering: what is less never raises a threshold."""
    return mark.whole or count * factor > floor


def judge(mark: Mark, count: int, past: Mapping[int, int], floor: int, factor: int) -> Signal | None:
    """What an hour's count says, beside the `past` hours of the same principal.

    The past is its third busiest hour: two spikes in two weeks do not make a third one ordinary.
    """
    earlier = sorted(number for hour, number in past.items() if hour < mark.hour)
    usual = earlier[-3] if len(earlier) >= 3 else 0  # noqa: PLR2004
    limit = max(floor, factor * usual)
    if count <= limit and not mark.whole:
        return None
    grave = mark.detector not in (Detector.STUFFING, Detector.DENIALS)
    loud = grave and limit and count > _ALARM_FACTOR * limit
    severity = Severity.GETS_SOMEBODY_UP if loud or mark.whole else Severity.TODAY
    return Signal(mark.detector, severity, mark.about, mark.at, mark.insert_id, count=count, threshold=limit)
