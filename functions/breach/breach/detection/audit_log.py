"""Audit log entries, typed: the principal, the action, and whose data it touched.

The shapes are `google.logging.v2.LogEntry` and `google.cloud.audit.AuditLog` in their JSON form. Fields that are not
here are left out at once, the caller's address above all, which must be kept nowhere; what Google adds is no error.

https://cloud.google.com/logging/docs/audit/understanding-audit-logs
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, ValidationError

from astra.datamap.model import Store
from astra.runtime.pseudonyms import Pseudonyms


class Unreadable(ValueError):
    """What came is no entry of a log."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Authentication(_Part):
    """Who: an address or, of callers from outside Google Cloud, a subject. Of who uses our application it is an agent
    of Firebase's rules, the same for everybody, and the person is the third party, as their token says."""

    principalEmail: str = ""
    principalSubject: str = ""
    thirdPartyPrincipal: dict[str, Any] | None = None

    @property
    def person(self) -> str:
        """The account id of who uses our application; empty for all others."""
        payload = (self.thirdPartyPrincipal or {}).get("payload")
        person = payload.get("sub") if isinstance(payload, dict) else None
        return person if isinstance(person, str) else ""


class Status(_Part):
    """How it ended: 0 is well."""

    code: int = 0


KEY_CREATED: Final = {"google.iam.admin.v1.CreateServiceAccountKey", "google.iam.admin.v1.UploadServiceAccountKey"}


class AuditLog(_Part):
    """Who did what. `request` and `metadata` differ from method to method."""

    serviceName: str = ""
    methodName: str = ""
    resourceName: str = ""
    authenticationInfo: Authentication = Authentication()
    status: Status = Status()
    numResponseItems: int = 0
    """How many a listing or a query has answered."""
    request: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    serviceData: dict[str, Any] | None = None

    @property
    def account_of_key(self) -> str:
        """The service account that it makes a key for, by its address; empty for all else. Google names it in the
        request by its address, and as a resource mostly by its number."""
        named = (self.resourceName, (self.request or {}).get("name")) if self.methodName in KEY_CREATED else ()
        found = [one.partition("/serviceAccounts/")[2].partition("/")[0] for one in named if isinstance(one, str)]
        return next((one for one in found if is_service(one)), "")

    @cached_property
    def places(self) -> "list[Place]":
        """Every single document, object or account that it names. A query or a listing names none."""
        return _places(self)


class OwnLine(_Part):
    """A line of our own functions; see `astra.runtime.log`."""

    event: str = ""
    actor: str = ""
    error: str | None = None
    processor: str | None = None


class LogEntry(_Part):
    """One entry, of either kind. `insertId` is the same when it is delivered again."""

    insertId: str
    timestamp: datetime
    logName: str = ""
    protoPayload: AuditLog | None = None
    jsonPayload: OwnLine | None = None

    @property
    def is_of_access(self) -> bool:
        """Whether it is of the log of who reads what, which goes on as long as anybody uses the service."""
        return self.logName.endswith("%2Fdata_access")


Place: TypeAlias = tuple[Store, str]


class Severity(enum.IntEnum):
    """How bad it may be."""

    GETS_SOMEBODY_UP = 1
    TODAY = 2
    NOTED = 3


class Detector(enum.StrEnum):
    """What can be seen."""

    HONEY = "honey-touched"
    READS = "reads-far-above-baseline"
    LISTINGS = "listings-far-above-baseline"
    DECRYPTS = "decrypt-spike"
    EXPORTS = "export-spike"
    DELETIONS = "mass-deletion"
    CHANGE = "change-outside-deploy"
    AUDIT_OFF = "audit-logging-disabled"
    AUDIT_SILENT = "audit-logging-silent"
    WATCH_BLIND = "watch-blind"
    KEY_CREATED = "service-account-key-created"
    STUFFING = "credential-stuffing"
    DENIALS = "cross-user-denials"
    LOG_INCONSISTENT = "log-inconsistent"
    PROCESSOR_MAIL = "processor-breach-mail"


@dataclass(frozen=True)
class Signal:
    """Something that a person should look at. It holds nothing of whose data it is; `principal` is a service account,
    or a person under a pseudonym."""

    detector: Detector
    severity: Severity
    about: str
    """What it is about: seen again, it is the same case. A principal, mostly."""
    at: datetime
    insert_id: str = ""
    what: str = ""
    """The method, or the entry of the data map."""
    count: int = 0
    threshold: int = 0


class Mark(NamedTuple):
    """One more for a count: of different `element`s that one `about` has in one `hour`."""

    detector: Detector
    about: str
    hour: int
    element: str
    at: datetime
    insert_id: str
    whole: bool = False
    """True if it stands for everything at once."""


def decode(data: bytes | str) -> LogEntry:
    """An entry as the sink sends it. Raises Unreadable."""
    try:
        return LogEntry.model_validate_json(data)
    except ValidationError:
        raise Unreadable from None  # what pydantic says of it could quote it


def is_service(principal: str) -> bool:
    """Whether it is a service account, whose name is nobody's."""
    return principal.endswith(".gserviceaccount.com")


def principal_of(audit: AuditLog, names: Pseudonyms) -> str:
    """Who did it, as may be kept."""
    if person := audit.authenticationInfo.person:
        return names.of_uid(person)
    who = audit.authenticationInfo.principalEmail or audit.authenticationInfo.principalSubject
    if not who or is_service(who):
        return who or "unknown"
    return names.of_principal(who)


def is_agent(principal: str) -> bool:
    """Whether it acts for everybody who uses our application."""
    return principal.endswith("@firebase-rules.iam.gserviceaccount.com")


_FIRESTORE: Final = "firestore.googleapis.com"
_AUTH: Final = "identitytoolkit.googleapis.com"
_STORAGE: Final = "storage.googleapis.com"


def _places(audit: AuditLog) -> list[Place]:
    if audit.serviceName == _STORAGE:
        _, found, name = audit.resourceName.partition("/objects/")
        return [(Store.STORAGE, unquote(name))] if found else []
    request = audit.request or {}
    if audit.serviceName == _AUTH:
        accounts = request.get("localId") or ()
        return [(Store.AUTH, uid) for uid in ([accounts] if isinstance(accounts, str) else accounts)]
    if audit.serviceName != _FIRESTORE:
        return []
    named: list[Any] = [audit.resourceName, request.get("name"), *(request.get("documents") or ())]
    target = (request.get("addTarget") or {}).get("documents") or {}  # of who listens
    named += target.get("documents") or ()
    named += (audit.metadata or {}).get("keys") or ()
    named += [_written(write) for write in request.get("writes") or ()]
    documents = [_document(name) for name in named if isinstance(name, str)]
    return list(dict.fromkeys([place for place in documents if place]))


def _written(write: dict[str, Any]) -> Any:
    """The document that one write of a commit concerns."""
    inner = write.get("update") or write.get("transform") or {}
    return write.get("delete") or inner.get("name") or inner.get("document")


def _document(name: str) -> Place | None:
    head, found, path = name.partition("/documents/")
    if not found or not path:
        return None
    return Store.VAULT if head.endswith("/databases/vault") else Store.FIRESTORE, path


def hour_of(at: datetime) -> int:
    """The hour that something is counted in: when it happened, so that what comes late is counted where it belongs."""
    return int(at.timestamp()) // 3600
