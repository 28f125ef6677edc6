"""Evidence: Cloud Audit Logs of what the suspected principals accessed, and whose data.

It is asked of Cloud Logging itself, which keeps it, and nothing of it is copied: what an entry says of a person goes
into that person's own document. Whose hands it was the case knows by name only of service accounts; of people it has a
pseudonym, and so asks for the entry that the signal was about, and goes on with the name in it, which is kept nowhere.
Whoever makes a key for a service account has that one's hands too.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from astra.accounts.honeytokens import is_honey
from astra.datamap.lookup import owner
from astra.datamap.model import Store
from astra.runtime.account_id import is_account_id
from astra.runtime.clock import iso
from astra.runtime.platform import Platform

from breach.detection.audit_log import AuditLog, LogEntry, is_agent
from breach.google_api import session
from breach.settings import AssessmentSettings

_MAX_PAGE_ENTRIES: Final = 1000
_TIMEOUT_SECONDS: Final = 60
_KEY_SERVICE: Final = "cloudkms.googleapis.com"
_FIRESTORE: Final = "firestore.googleapis.com"
_OF_PEOPLE: Final = {_FIRESTORE, "storage.googleapis.com", "identitytoolkit.googleapis.com"}
_ENTRY_RESOLUTION: Final = timedelta(milliseconds=1)
"""Entries have nanoseconds, and what is kept of them has not: a moment is asked for as the time from it on."""


@dataclass
class Findings:
    """What one page of the log shows."""

    touched: dict[str, Counter[str]] = field(default_factory=dict)
    """How often which entries of the data map, by account id."""
    unnamed: int = 0
    """Reads that name nobody: of listings and exports the log does not say whose data was in them."""
    unnamed_keys: int = 0
    """Those of them that may have been of everybody's keys."""
    decrypts: int = 0
    seen: int = 0
    """Entries of who reads what, those of what was refused too: without one, that nobody is named shows nothing."""
    blind: bool = False
    """Nobody knows whose hands it was, so that nothing could be asked."""


class Trail:
    """One incident's part of the audit log."""

    def __init__(self, platform: Platform[AssessmentSettings], incident: dict[str, Any]) -> None:
        self._platform, self._incident = platform, incident
        self._url = f"{str(platform.settings.logging_url).rstrip('/')}/v2/entries:list"
        self._who: str | None = None

    def page(self, token: str) -> tuple[Findings, str]:
        """The findings of a page, and the token of the next; empty after the last. Raises requests.RequestException."""
        who = self._who = self._who if self._who is not None else self._named()
        if not who:
            return Findings(blind=True), ""
        since, until = self._incident["occurredFrom"], self._incident["occurredUntil"]
        asked = (
            f'logName:"cloudaudit.googleapis.com" AND timestamp>="{_exact(since)}" AND timestamp<="{_exact(until)}" '
            f"AND ({who})"
        )
        entries, following = self._ask(asked, token, _MAX_PAGE_ENTRIES)
        return findings(self._platform, entries), following

    def _named(self) -> str:
        """Whose hands it was, as the log is asked for them: as the case knows them, or as the entries of its signals
        name them: by address or, who has none, by subject. An agent's hands are everybody's: then it is the person whom
        it acted for."""
        found, people, subjects = set(self._incident["serviceAccounts"]), set[str](), set[str]()
        rows = self._incident["signals"].values()
        for at, name in sorted({(row["at"], row["insertId"]) for row in rows if row["insertId"]}):
            moment = f'timestamp>="{_exact(at)}" AND timestamp<"{_exact(at + _ENTRY_RESOLUTION)}"'
            entries, _ = self._ask(f"insertId={_quoted(name)} AND {moment}", "", 10)
            audits = [entry.protoPayload for entry in entries if entry.protoPayload]
            who = [audit.authenticationInfo for audit in audits]
            found |= {one.principalEmail for one in who if not one.person} | {one.account_of_key for one in audits}
            people |= {one.person for one in who}
            subjects |= {one.principalSubject for one in who if not one.person and not one.principalEmail}
        found = {one for one in found if not is_agent(one)}
        named = {"principalEmail": found, "principalSubject": subjects, "thirdPartyPrincipal.payload.sub": people}
        known = {field_: sorted(these - {""}) for field_, these in named.items()}
        return " OR ".join(
            f"protoPayload.authenticationInfo.{field_}=({' OR '.join(map(_quoted, these))})"
            for field_, these in known.items()
            if these
        )

    def _ask(self, asked: str, token: str, most: int) -> tuple[list[LogEntry], str]:
        project = f"projects/{self._platform.app.project_id}"
        body: dict[str, Any] = {"resourceNames": [project], "filter": asked, "orderBy": "timestamp asc"}
        body |= {"pageSize": most} | ({"pageToken": token} if token else {})
        answer = session().post(self._url, json=body, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        found = answer.json()
        return list(_typed(found.get("entries") or ())), str(found.get("nextPageToken") or "")


def findings(platform: Platform[AssessmentSettings], entries: Iterable[LogEntry]) -> Findings:
    """Whose data these entries touched. What was refused touched nothing; honey is nobody's."""
    found = Findings()
    for entry in entries:
        audit = entry.protoPayload
        if audit is None:
            continue
        found.seen += entry.is_of_access and audit.serviceName in _OF_PEOPLE
        if audit.status.code:
            continue
        if audit.serviceName == _KEY_SERVICE:
            found.decrypts += audit.methodName == "Decrypt"
            continue
        named = audit.places
        if not named and audit.serviceName in _OF_PEOPLE:
            found.unnamed += 1
            found.unnamed_keys += _may_be_keys(audit)
        for store, path in named:
            person = _person(store, path)
            if person and not is_honey(platform.pseudonyms, person[1]) and is_account_id(person[1]):
                found.touched.setdefault(person[1], Counter())[person[0]] += 1
    return found


def _may_be_keys(audit: AuditLog) -> bool:
    """Whether it is of the database that has the keys; what does not say of which it is may be."""
    request = audit.request or {}
    said = (audit.resourceName, *(request.get(name) for name in ("parent", "database", "name")))
    of = [f"{one}/" for one in said if isinstance(one, str) and "/databases/" in one]
    return audit.serviceName == _FIRESTORE and (not of or any("/databases/vault/" in one for one in of))


def _person(store: Store, path: str) -> tuple[str, str] | None:
    owned = owner(store, path)
    return (owned[0].name, owned[1]) if owned else None


def _typed(entries: Iterable[Any]) -> Iterable[LogEntry]:
    for entry in entries:
        try:
            yield LogEntry.model_validate(entry)
        except ValidationError:
            continue  # of a kind that is not looked at


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _exact(moment: datetime) -> str:
    return iso(moment) if moment.microsecond == 0 else moment.isoformat().replace("+00:00", "Z")
