"""Notification deadlines of a breach, as data: engineering's reading, not legal advice.

Hours and days run in UTC from the moment that a row names, through nights, weekends and holidays. A row that nobody has
looked at for a year fails the tests. Our own two targets come before all others, and hold for everybody. Whose
jurisdiction we don't know may be anywhere: they count for the clock of each.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from astra.runtime.clock import iso

ALARMS: Final = (50, 80, 95, 100)
"""At which part of its time a clock calls, in per cent; at 100 it is overdue."""
OVERDUE: Final = 100
UNKNOWN: Final = "unknown"
_REVIEWED: Final = date(2026, 11, 25)


class Who(enum.StrEnum):
    """Who is to be told."""

    REGULATOR = "regulator"
    PEOPLE = "people"
    BUREAUS = "consumer reporting agencies"
    DRAFT = "the draft for regulators"


class Start(enum.StrEnum):
    """From when it runs."""

    AWARE = "awareAt"
    """Where the law says determination or confirmation."""
    DISCOVERED = "detectedAt"
    """From the first that anybody of us saw of it, though it runs only once we know what it is: where the law says
    discovery or learning of it, or that a reason to believe it is enough."""
    TOLD = "peopleToldAt"
    """When people were told."""


@dataclass(frozen=True)
class Clock:
    """One row: `within` so long after `start`, if at least so many people of `jurisdictions` are affected."""

    name: str
    regime: str
    who: Who
    within: timedelta
    recipient: str
    source: str
    jurisdictions: tuple[str, ...] = ()
    """Of whose people it speaks; none means everybody's."""
    at_least: int = 1
    start: Start = Start.AWARE
    high_risk: bool = False
    """Whether it runs only where people's rights are at high risk."""
    reviewed_on: date = _REVIEWED

    def owed(self, due: datetime) -> str:
        """Who must be told by when, in a sentence."""
        return f"{self.recipient} must be told by {iso(due)} ({self.source})."


_EEA: Final = (
    *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI"),
    *("LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"),
)


def _state(code: str, days: int, source: str, start: Start = Start.AWARE) -> Clock:
    name, within = f"{code.lower()}-people", timedelta(days=days)
    return Clock(name, f"US-{code}", Who.PEOPLE, within, "residents", source, (f"US-{code}",), start=start)


CLOCKS: Final[tuple[Clock, ...]] = (
    Clock("own-draft", "own target", Who.DRAFT, timedelta(hours=24), "ourselves", "our own target"),
    Clock("own-people", "own target", Who.PEOPLE, timedelta(hours=72), "everybody affected", "our own target"),
    Clock(
        *("gdpr-authority", "GDPR", Who.REGULATOR, timedelta(hours=72), "the lead supervisory authority"),
        source="GDPR art. 33(1)",
        jurisdictions=_EEA,
    ),
    Clock(
        *("gdpr-people", "GDPR", Who.PEOPLE, timedelta(hours=72), "data subjects"),
        source="GDPR art. 34(1): without undue delay; the hours are ours",
        jurisdictions=_EEA,
        high_risk=True,
    ),
    Clock(
        *("uk-ico", "UK GDPR", Who.REGULATOR, timedelta(hours=72), "the Information Commissioner"),
        source="UK GDPR art. 33(1)",
        jurisdictions=("GB",),
    ),
    Clock(
        *("uk-people", "UK GDPR", Who.PEOPLE, timedelta(hours=72), "data subjects"),
        source="UK GDPR art. 34(1): without undue delay; the hours are ours",
        jurisdictions=("GB",),
        high_risk=True,
    ),
    _state("NY", 30, "N.Y. Gen. Bus. Law § 899-aa(2), as amended in December 2024: from discovery", Start.DISCOVERED),
    Clock(
        *("ny-authorities", "US-NY", Who.REGULATOR, timedelta(days=30)),
        recipient="the Attorney General, the Department of State and the State Police",
        source="N.Y. Gen. Bus. Law § 899-aa(8)(a)",
        jurisdictions=("US-NY",),
        start=Start.DISCOVERED,
    ),
    Clock(
        *("ny-bureaus", "US-NY", Who.BUREAUS, timedelta(days=30), "consumer reporting agencies"),
        source="N.Y. Gen. Bus. Law § 899-aa(8)(b): more than 5,000 residents",
        jurisdictions=("US-NY",),
        at_least=5001,
        start=Start.DISCOVERED,
    ),
    _state("CA", 30, "Cal. Civ. Code § 1798.82(a), as amended by SB 446 from 2026: from discovery", Start.DISCOVERED),
    Clock(
        *("ca-attorney-general", "US-CA", Who.REGULATOR, timedelta(days=15), "the Attorney General: a sample notice"),
        source="Cal. Civ. Code § 1798.82(f), as amended by SB 446: more than 500 residents",
        jurisdictions=("US-CA",),
        at_least=501,
        start=Start.TOLD,
    ),
    _state("CO", 30, "Colo. Rev. Stat. § 6-1-716"),
    _state("FL", 30, "Fla. Stat. § 501.171(4)(a): from determination, or reason to believe", Start.DISCOVERED),
    _state("WA", 30, "Wash. Rev. Code § 19.255.010", Start.DISCOVERED),
    _state("AL", 45, "Ala. Code § 8-38-5"),
    _state("AZ", 45, "Ariz. Rev. Stat. § 18-552"),
    _state("IN", 45, "Ind. Code § 24-4.9-3-3", Start.DISCOVERED),
    _state("NM", 45, "N.M. Stat. § 57-12C-6", Start.DISCOVERED),
    _state("OH", 45, "Ohio Rev. Code § 1349.19", Start.DISCOVERED),
    _state("OR", 45, "Or. Rev. Stat. § 646A.604", Start.DISCOVERED),
    _state("RI", 45, "R.I. Gen. Laws § 11-49.3-4"),
    _state("TN", 45, "Tenn. Code § 47-18-2107", Start.DISCOVERED),
    _state("VT", 45, "Vt. Stat. tit. 9, § 2435", Start.DISCOVERED),
    _state("WI", 45, "Wis. Stat. § 134.98", Start.DISCOVERED),
    _state("CT", 60, "Conn. Gen. Stat. § 36a-701b", Start.DISCOVERED),
    _state("DE", 60, "Del. Code tit. 6, § 12B-102"),
    _state("LA", 60, "La. Rev. Stat. § 51:3074", Start.DISCOVERED),
    _state("SD", 60, "S.D. Codified Laws § 22-40-20", Start.DISCOVERED),
    _state("TX", 60, "Tex. Bus. & Com. Code § 521.053"),
)

BY_NAME: Final = {clock.name: clock for clock in CLOCKS}


@dataclass(frozen=True)
class Running:
    """A clock of an incident."""

    clock: Clock
    started: datetime
    due: datetime
    met: datetime | None
    """When it was done."""
    delayed: bool
    """Whether the law lets us wait: until then it is not overdue."""

    def share(self, now: datetime) -> int:
        """How much of its time has passed, in whole per cent."""
        return int((now - self.started) * 100 // (self.due - self.started))

    def is_overdue(self, now: datetime) -> bool:
        """Whether it was not done by its time. At the very moment it still is in time."""
        return now > self.due if self.met is None else self.met > self.due

    def passed(self, now: datetime) -> list[int]:
        """The alarms whose part of its time has passed."""
        share = self.share(now)
        return [alarm for alarm in ALARMS if (self.is_overdue(now) if alarm == OVERDUE else share >= alarm)]


def mark(alarm: int) -> str:
    """An alarm in words."""
    return "overdue" if alarm == OVERDUE else f"{alarm} % of the time is over"


def applies(clock: Clock, affected: Mapping[str, int] | None, *, high_risk: bool) -> bool:
    """Whether a clock runs, by how many people of each jurisdiction are affected. While that is not known, all do;
    and people of whom it is not known count for each."""
    if clock.high_risk and not high_risk:
        return False
    if affected is None:
        return True
    if not clock.jurisdictions:
        return sum(affected.values()) > 0
    return sum(affected.get(place, 0) for place in (*clock.jurisdictions, UNKNOWN)) >= clock.at_least


def discovered(incident: Mapping[str, Any]) -> datetime:
    """When it was discovered: a letter may have been read before anybody opened the case."""
    detected, aware = incident["detectedAt"], incident["awareAt"]
    first: datetime = min(detected, aware)
    return first


def _started(start: Start, incident: Mapping[str, Any]) -> datetime | None:
    if not incident.get("awareAt"):
        return None
    return discovered(incident) if start is Start.DISCOVERED else incident.get(start.value)


def running(incident: Mapping[str, Any], clocks: Iterable[Clock] = CLOCKS) -> list[Running]:
    """The clocks of a confirmed incident, the next one due first; none before it is confirmed.

    Its fields: detectedAt, awareAt, peopleToldAt, affected {jurisdiction: people} once counted, highRisk, delay
    {until}, and met {clock: {at}}.
    """
    found = []
    for clock in clocks:
        started = _started(clock.start, incident)
        if started and applies(clock, incident.get("affected"), high_risk=bool(incident.get("highRisk", True))):
            due, until = started + clock.within, (incident.get("delay") or {}).get("until")
            delayed = clock.who is Who.PEOPLE and until is not None and until > due
            met = (incident.get("met") or {}).get(clock.name)
            at = incident.get("peopleToldAt") if clock.who is Who.PEOPLE else met and met["at"]
            found.append(Running(clock, started, until if delayed and until else due, at, delayed))
    return sorted(found, key=lambda one: (one.met is not None, one.due, one.clock.name))
