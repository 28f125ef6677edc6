"""Rule detectors: what one audit log entry shows by itself.

Each says why an ordinary day does not set it off. That is tested: thirty days of what the service does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from astra.accounts.honeytokens import is_honey
from astra.datamap.lookup import name_of
from astra.datamap.model import Store
from astra.runtime import log
from astra.runtime.pseudonyms import Pseudonyms

from breach.detection.audit_log import KEY_CREATED, AuditLog, Detector, LogEntry, Severity, Signal, principal_of


@dataclass(frozen=True)
class Watch:
    """What the detectors know besides the entry."""

    names: Pseudonyms
    deployers: frozenset[str] = frozenset()
    is_deploying: Callable[[], bool] = lambda: False
    """Whether a deployment is announced: asked only of what deployers do."""
    thorough: frozenset[str] = frozenset()
    """Our own service accounts whose work goes through everybody."""

    def is_announced(self, principal: str) -> bool:
        """Whether a deployer does it while a deployment is announced."""
        return principal in self.deployers and self.is_deploying()


_LOGGING: Final = "google.logging.v2.ConfigServiceV2."
_LOGGING_OFF: Final = {
    f"{_LOGGING}{verb}"
    for verb in ("DeleteSink", "UpdateSink", "CreateExclusion", "UpdateExclusion", "DeleteBucket", "UpdateBucket")
}
_RULES: Final = "google.firebase.rules.v1.FirebaseRulesService."
_CHANGES: Final = {
    *(f"{_RULES}{verb}" for verb in ("CreateRelease", "UpdateRelease", "DeleteRelease", "CreateRuleset")),
    *("SetIamPolicy", "google.iam.admin.v1.SetIAMPolicy", "storage.setIamPermissions", "storage.buckets.update"),
    *("google.iam.v1.IAMPolicy.SetIamPolicy", "google.iam.admin.v1.CreateServiceAccount"),
    *("google.iam.admin.v1.CreateRole", "google.iam.admin.v1.UpdateRole"),
    *("CreateCryptoKeyVersion", "DestroyCryptoKeyVersion", "UpdateCryptoKeyVersion", "UpdateCryptoKey"),
    *("UpdateCryptoKeyPrimaryVersion", "ImportCryptoKeyVersion"),
}
_ROTATED_BY: Final = "cloudkms.googleapis.com"


def honey(audit: AuditLog, entry: LogEntry, watch: Watch) -> Iterator[Signal]:
    """A honey account's document, object or key is named. Nothing of ours names one: whatever goes through everybody
    leaves them out, and a listing or a backup names nobody. To wrap all keys anew names them all, and is announced as a
    deployment. Planting one names it too, which shows that this works."""
    for store, path in audit.places:
        # Accounts have one of the first two parts of a path, wherever the data map puts them.
        if any(is_honey(watch.names, part) for part in path.split("/", 2)[:2]):
            who, deployer = principal_of(audit, watch.names), audit.authenticationInfo.principalEmail
            if store is Store.VAULT and watch.is_announced(deployer):
                return
            what = name_of(store, path)
            yield Signal(Detector.HONEY, Severity.GETS_SOMEBODY_UP, who, entry.timestamp, entry.insertId, what)
            return


def key_created(audit: AuditLog, entry: LogEntry, watch: Watch) -> Iterator[Signal]:
    """A key of a service account was made. We deploy without any: functions run as their accounts, and people
    impersonate."""
    if audit.methodName in KEY_CREATED and not audit.status.code:
        yield _of(Detector.KEY_CREATED, Severity.GETS_SOMEBODY_UP, audit, entry, watch)


def audit_off(audit: AuditLog, entry: LogEntry, watch: Watch) -> Iterator[Signal]:
    """The audit log was cut off: its sink, bucket or exclusions were changed, a policy lost its audit settings, or
    exempts somebody from them.
    Made once by hand, before there is a sink; a deployment changes none of it."""
    deltas = ((audit.serviceData or {}).get("policyDelta") or {}).get("auditConfigDeltas") or ()
    less = any(_is_less(delta) for delta in deltas if isinstance(delta, dict))
    if (audit.methodName in _LOGGING_OFF or less) and not audit.status.code:
        yield _of(Detector.AUDIT_OFF, Severity.GETS_SOMEBODY_UP, audit, entry, watch)


def _is_less(delta: dict[str, Any]) -> bool:
    """Whether with this change less is logged: to exempt one member less is more."""
    return delta.get("action") == ("ADD" if delta.get("exemptedMember") else "REMOVE")


def change(audit: AuditLog, entry: LogEntry, watch: Watch) -> Iterator[Signal]:
    """IAM, rules or keys were changed by another than a deployer, or while no deployment is announced. Deployers
    announce (`astra breach deploying`); the key service rotates by itself, under no name."""
    if audit.methodName not in _CHANGES or audit.status.code:
        return
    who = audit.authenticationInfo.principalEmail
    if audit.serviceName == _ROTATED_BY and not who:
        return
    if not watch.is_announced(who):
        yield _of(Detector.CHANGE, Severity.TODAY, audit, entry, watch)


def own(line_event: str, entry: LogEntry) -> Iterator[Signal]:
    """What our own functions say: a honey account was used, the log is not as the witness remembers it, a processor
    wrote of a breach. Each has an event of its own: no class of an exception and no text is compared."""
    line = entry.jsonPayload
    assert line  # noqa: S101  (for the types: whoever calls has looked)
    at, name = entry.timestamp, entry.insertId
    if line_event == log.Event.HONEY_TOUCHED:
        yield Signal(Detector.HONEY, Severity.GETS_SOMEBODY_UP, line.actor or "unknown", at, name, "our own functions")
    elif line_event == log.Event.LOG_INCONSISTENT:
        yield Signal(Detector.LOG_INCONSISTENT, Severity.GETS_SOMEBODY_UP, "log", at, name, line.error or "")
    elif line_event == log.Event.PROCESSOR_MAIL:
        yield Signal(Detector.PROCESSOR_MAIL, Severity.TODAY, line.processor or "a processor", at, name)


_ACTS: Final = KEY_CREATED | _LOGGING_OFF | _CHANGES


def instant(entry: LogEntry, watch: Watch) -> Iterable[Signal]:
    """Everything that this entry shows by itself. Almost none shows anything, nor is looked at closely."""
    if (audit := entry.protoPayload) is not None:
        found = [*honey(audit, entry, watch)] if audit.places else []
        if audit.methodName in _ACTS or audit.serviceData:
            for detector in (key_created, audit_off, change):
                found += detector(audit, entry, watch)
        return found
    return own(entry.jsonPayload.event, entry) if entry.jsonPayload is not None else ()


def _of(detector: Detector, severity: Severity, audit: AuditLog, entry: LogEntry, watch: Watch) -> Signal:
    method = audit.methodName.rpartition(".")[2]
    return Signal(detector, severity, principal_of(audit, watch.names), entry.timestamp, entry.insertId, method)
