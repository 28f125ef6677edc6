"""Consent receipts after ISO/IEC TS 27560: purpose, text, time of consent.

    users/{uid}/consents/{purpose}   one receipt for each purpose that was ever agreed to

A receipt says of itself what it covers, from the data map as it was at that time. Its `events` are its history: given,
withdrawn, given again under a newer policy. `state` is what the last of them made of it.
"""

from datetime import datetime
from typing import Any, Final

from astra.datamap.model import CONSENT, CONTRACT
from astra.datamap.table import DATA_MAP
from astra.policies import Policy
from astra.runtime.clock import iso
from astra.runtime.company import COMPANY
from astra.runtime.pseudonyms import Pseudonym
from astra.tlog import Action, Entry

TERMS: Final = "terms"
NOTICES: Final = "electronicNotices"
IP_LOCK: Final = "ipLock"
PURPOSES: Final = (TERMS, NOTICES, IP_LOCK)

_MAX_EVENTS: Final = 500
"""Older ones than these are dropped from the middle: a document has an end."""
_TEXTS: Final = {
    TERMS: ("run the service under its Security & Privacy Policy", str(CONTRACT), "delete the account"),
    NOTICES: (
        "send notices that the law asks for by e-mail",
        f"{CONSENT}; New York GBL 899-aa(5)(b)",
        "account settings, or an e-mail to us",
    ),
    IP_LOCK: (
        "refuse sign-in from any network but one",
        str(CONSENT),
        "account settings, or an e-mail to us",
    ),
}
"""Of each purpose: what it is, its lawful basis, and how it is withdrawn."""
_COVERS: Final = {
    TERMS: tuple(entry for entry in DATA_MAP if entry.lawful_basis == CONTRACT),
    NOTICES: tuple(entry for entry in DATA_MAP if entry.name == "profile"),
    IP_LOCK: tuple(entry for entry in DATA_MAP if entry.name == "network-locks"),
}


def given(
    subject: Pseudonym,
    purpose: str,
    policy: Policy,
    age_screen: str,
    at: datetime,
    earlier: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A receipt; of what was agreed to before, and is again, with the history of `earlier`."""
    what, basis, withdrawal = _TEXTS[purpose]
    covers, event = _COVERS[purpose], _event("given", policy, at)
    return {
        "schema": "ISO/IEC TS 27560:2023",
        "recordId": f"{subject}.{purpose}",
        "subject": subject,
        "controller": COMPANY.controller,
        "purpose": purpose,
        "purposeDescription": what,
        "lawfulBasis": basis,
        "dataCategories": [entry.category for entry in covers],
        "recipients": sorted({recipient for entry in covers for recipient in entry.recipients}),
        "retention": sorted({entry.retention for entry in covers}),
        "withdrawal": withdrawal,
        "ageScreen": age_screen,
        "state": "given",
        "policyVersion": policy.version,
        "policySha256": policy.sha256,
        "policyLanguage": "en",
        "givenAt": at,
        "events": _and(earlier, event) if earlier else [event],
    }


def withdrawn(receipt: dict[str, Any], at: datetime) -> dict[str, Any]:
    """What changes in a receipt when the consent is taken back."""
    return {"state": "withdrawn", "events": _and(receipt, {"type": "withdrawn", "at": at})}


def logged(subject: Pseudonym, purpose: str, changes: dict[str, Any], at: datetime) -> Entry:
    """What the log is told of a new receipt, or of `changes` in one."""
    record = {"subject": subject, "purpose": purpose, "state": changes["state"], "at": iso(at)}
    if changes["state"] == "withdrawn":
        return Entry(Action.CONSENT_WITHDRAWN, record, at, subject)
    text = {name: changes[name] for name in ("policyVersion", "policySha256", "policyLanguage")}
    return Entry(Action.CONSENT_GIVEN, record | text, at, subject)


def _event(kind: str, policy: Policy, at: datetime) -> dict[str, Any]:
    return {"type": kind, "at": at, "policyVersion": policy.version, "policySha256": policy.sha256}


def _and(receipt: dict[str, Any], event: dict[str, Any]) -> list[dict[str, Any]]:
    first, *rest = receipt["events"]
    return [first, *rest[-(_MAX_EVENTS - 2) :], event]
