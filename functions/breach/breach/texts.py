"""Texts of a breach for people and regulators, made from the incident's fields alone.

A field that a reader is owed and that nobody has said yet is refused by its name, never left blank. Regulators may be
told in phases: the first needs what is known at once, and says of the rest that it is not known yet.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra.datamap.table import DATA_MAP
from astra.notices import campaigns, messages
from astra.notices.inbox import Kind
from astra.runtime import templates
from astra.runtime.clock import iso

from breach import deadlines, incidents
from breach.deadlines import BY_NAME, UNKNOWN, Clock

PHASES: Final = ("initial", "update", "final")
# Of what was opened nobody is to be told that it was encrypted.
_CATEGORY: Final = {entry.name: entry.category.partition(", encrypted")[0] for entry in DATA_MAP}
_PEOPLE_NEED: Final = ("whatHappened", "weAreDoing", "youCanDo", "contact")
_AT_ONCE: Final = ("nature", "measures", "contact")
_IN_THE_END: Final = (*_AT_ONCE, "consequences", "exposed", "affected")
_READ_LOG_RETENTION: Final = timedelta(days=30)
"""How long Cloud Logging keeps who read what, unless it is told to keep it longer."""
_NOT_KNOWN: Final = "not known yet"
_MORE: Final = "more people may be affected"
_NO_PROOF: Final = {
    "audit-logging-disabled": f"the audit log was cut off, and what was done meanwhile is not in it: {_MORE}",
    "audit-logging-silent": f"the audit log was silent, and what was done meanwhile is not in it: {_MORE}",
    "service-account-key-created": "what was done with a service account's key can't be told from the service's own "
    "work, nor followed through all that it opens: more people, or fewer, may be affected",
}
"""What was seen is itself why the audit log can't show everything, by detector."""


class Missing(ValueError):
    """What is owed to the reader has not been said. The message names each."""


class Late(Missing):
    """A regulator is told late, and nobody has said why."""


@dataclass(frozen=True)
class Text:
    """What somebody is told: as text, as a page, and the text's hash. `facts` are what it was made of."""

    text: str
    html: str
    facts: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """What people approve, and the log keeps."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def campaign_of(incident: str) -> str:
    """The name of the campaign that tells of an incident."""
    return f"breach-{incident}"


def elements(opened: list[str]) -> str:
    """Entries of the data map in words, a line each."""
    return "\n".join(f"- {_CATEGORY[name]}" for name in opened)


def notice(name: str, incident: Mapping[str, Any]) -> Text:
    """What people are told, for everybody; each gets the list of their own data in its place. Raises Missing."""
    said = _said(incident, _PEOPLE_NEED)
    facts = {
        "reference": name,
        "since": iso(incident["occurredFrom"]),
        "until": iso(incident["occurredUntil"]),
        "discovered": iso(incident["awareAt"]),
        "whatHappened": said["whatHappened"],
        "weAreDoing": said["weAreDoing"],
        "youCanDo": said["youCanDo"],
        "reach": said["contact"],
    }
    whole = {**facts, "elements": elements(incident.get("exposed") or [])}
    letter = messages.render(Kind.BREACH, whole)
    shown = {**whole, "title": letter.notice.title, "sha256": letter.sha256}
    return Text(letter.text, _page("breach-page.html.j2", shown), facts)


def refuse_changed(db: firestore.Client, name: str) -> None:
    """Raise campaigns.Changed if this deployment makes another text of an incident's notice than was approved."""
    incident = incidents.reference(db, name).get().to_dict() or {}
    approved = incident.get("notice")
    if approved and notice(name, incident).sha256 != approved["sha256"]:
        raise campaigns.Changed


def filing(
    name: str,
    incident: Mapping[str, Any],
    clock: Clock,
    phase: str,
    delay_reason: str = "",
    at: datetime | None = None,
) -> Text:
    """What a regulator is told `at` a time, without which nothing is said of whether that is in time. Raises Missing;
    Late, if it is not, and neither `delay_reason` nor an earlier phase says why."""
    said = _said(incident, _AT_ONCE if phase == PHASES[0] else _IN_THE_END)
    affected: dict[str, int] | None = incident.get("affected")
    numbers: dict[str, int] = incident.get("numbers") or {}
    if clock.jurisdictions and affected is not None:
        told = (*clock.jurisdictions, UNKNOWN)
        affected = {place: many for place, many in affected.items() if place in told}
    rows = [
        ("Incident", name),
        ("Phase", phase),
        ("To", f"{clock.recipient} ({clock.regime}; {clock.source})"),
        ("Nature", said["nature"]),
        ("Occurred", f"{iso(incident['occurredFrom'])} to {iso(incident['occurredUntil'])}"),
        ("Discovered", iso(deadlines.discovered(incident))),
        ("Aware since", iso(incident["awareAt"])),
        ("Categories of data", "; ".join(_CATEGORY[one] for one in incident.get("exposed") or []) or _NOT_KNOWN),
        ("People affected", _counted(affected)),
        ("Records, approximately", str(numbers["records"]) if "records" in numbers else _NOT_KNOWN),
        ("People whose data stayed sealed", str(numbers["sealed"]) if "sealed" in numbers else _NOT_KNOWN),
        ("Uncertainty", said.get("uncertainty") or uncertainty(incident)),
        ("Likely consequences", said.get("consequences") or _NOT_KNOWN),
        ("Measures", said["measures"]),
        ("Reasons for delay", _reasons(incident, clock, delay_reason, at)),
        ("Contact", said["contact"]),
    ]
    head = f"Notification of a personal data breach: {clock.regime}"
    text = head + "\n\n" + "\n".join(f"{label}: {value}" for label, value in rows) + "\n"
    return Text(text, _page("filing.html.j2", {"title": head, "rows": rows}), {})


def _reasons(incident: Mapping[str, Any], clock: Clock, said: str, at: datetime | None) -> str:
    """Why a clock's regulator is told late: what earlier phases said of it, and what is said now."""
    earlier: dict[str, dict[str, Any]] = (incident.get("filings") or {}).get(clock.name) or {}
    rows = [earlier[f"n{number}"] for number in range(1, len(earlier) + 1)]
    found = [reason for reason in (*(row.get("delayReason") for row in rows), said) if reason]
    if found:
        return "; ".join(dict.fromkeys(found))
    runs = next(iter(deadlines.running(incident, (clock,))), None)
    if runs and runs.met is None and at is None:
        return _NOT_KNOWN
    if runs and runs.is_overdue(at or runs.due):
        raise Late("delayReason missing: it is late, which needs reasons")
    return "none: it is in time"


def is_draftable(name: str, incident: Mapping[str, Any]) -> bool:
    """Whether regulators could be told at least in a first phase."""
    try:
        filing(name, incident, BY_NAME["gdpr-authority"], PHASES[0], delay_reason=_NOT_KNOWN)
    except Missing:
        return False
    return True


def _said(incident: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, str]:
    said: dict[str, str] = incident.get("said") or {}
    missing = [one for one in needed if not (said.get(one) or incident.get(one))]
    if missing:
        raise Missing(f"{', '.join(missing)} missing")
    return said


def _counted(affected: Mapping[str, int] | None) -> str:
    if affected is None:
        return _NOT_KNOWN
    each = ", ".join(f"{place}: {many}" for place, many in sorted(affected.items()))
    return f"{sum(affected.values())}" + (f" ({each})" if each else "")


def uncertainty(incident: Mapping[str, Any]) -> str:
    """What the numbers leave open, for whoever reads them."""
    if not incident.get("numbers"):
        return _NOT_KNOWN
    ruled_out = incident.get("ruledOut")
    why = [f"two people are sure that nobody is affected: {ruled_out['reason']}"] if ruled_out else []
    return "; ".join([*why, *doubts(incident)]) or "every read of the audit log names whose data it was"


def doubts(incident: Mapping[str, Any]) -> list[str]:
    """Why more people may be affected than were counted. Where none is, and nobody was, nobody is affected."""
    numbers: Mapping[str, int] = incident["numbers"]
    found = []
    if numbers.get("blind"):
        found.append("it is not known whose hands it was, so that the audit log could not be asked whose data it was")
    if numbers.get("unseen"):
        found.append("the audit log has nothing of those hands in that time, so that it can't show whose data it was")
    if unnamed := numbers.get("unnamed"):
        found.append(f"{unnamed} reads of the audit log name nobody (listings, exports): {_MORE}")
    if (gone := numbers.get("gone")) and not incident["affected"]:
        found.append(f"{gone} people whom the evidence names have been erased since")
    if of_itself := _NO_PROOF.get(incident["detector"]):
        found.append(of_itself)
    confirmed = incident.get("confirmedAt", incident["awareAt"])
    kept_from = max(confirmed, incident.get("countedAt", confirmed)) - _READ_LOG_RETENTION
    if incident["occurredFrom"] < kept_from:
        found.append(f"reads before {iso(kept_from)} may be in no audit log any more: {_MORE}")
    return found


def _page(name: str, facts: Mapping[str, Any]) -> str:
    return templates.environment("breach").get_template(name).render(facts)
