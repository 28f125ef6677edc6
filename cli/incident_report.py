"""An incident for people: what to do next, and, when it is over, what happened when."""

from datetime import datetime, timedelta
from typing import Any, Final

from astra.jobs import STUCK
from astra.runtime import templates
from astra.runtime.clock import iso
from breach import deadlines, texts
from breach.deadlines import BY_NAME, Who
from breach.incidents import Cohort, State
from cli.timeline import Moment, duration, svg

_TELL: Final = (Who.REGULATOR, Who.BUREAUS)


def next_action(name: str, incident: dict[str, Any], job: dict[str, Any] | None = None) -> str:
    """The one thing that somebody has to do now. `job` is the one of who is affected, if there is one yet."""
    if job and job["state"] == STUCK:
        return f"`astra breach retry {name}`: the count of people affected failed too often; the log says why"
    if incident["state"] == State.SUSPECTED:
        return f"look (`astra breach show {name}`), then confirm_incident, or close_incident as a false alarm"
    if not (incident.get("met") or {}).get("own-draft") and incident.get("affected") != {}:
        return "describe_incident: say nature, measures and contact, which regulators are owed at once"
    unmet = [one for one in deadlines.running(incident) if one.met is None]
    regulators = [one.clock.name for one in unmet if one.clock.who in _TELL]
    first = unmet and unmet[0].clock.who in _TELL
    if regulators and (first or incident["cohort"] == Cohort.TELLING):
        phase = "initial" if first else "final"
        return f"tell_regulator {regulators[0]}: `astra breach draft {name} {regulators[0]} {phase}`"
    return _of_people(name, incident)


def _of_people(name: str, incident: dict[str, Any]) -> str:
    taken = incident["measures"].items()
    frozen = [key for key, row in taken if row["undoneAt"] is None and row["measure"] != "revoke-tokens"]
    if incident["cohort"] in (Cohort.GATHERING, Cohort.SORTING):
        return "wait: who is affected is being counted"
    if incident["cohort"] == Cohort.FROZEN and incident["affected"] is None:
        wider = "wider, with what was everybody's, or with people whom you know to be affected"
        return f"the log does not say whose data it was: confirm_incident again, {wider}; or rule_out_people, by two"
    if incident["cohort"] == Cohort.FROZEN and sum(incident["affected"].values()):
        return _to_approve(name, incident)
    if incident["cohort"] != Cohort.FROZEN and not incident.get("peopleToldAt"):
        return "wait: people are being told"
    return f"undo {', '.join(frozen)}, then close_incident" if frozen else "close_incident"


def _to_approve(name: str, incident: dict[str, Any]) -> str:
    try:
        texts.notice(name, incident)
    except texts.Missing as missing:
        return f"describe_incident: {missing}"
    return f"approve_notice, two people: `astra breach notice {name}` shows it and its hash"


def moments(incident: dict[str, Any]) -> list[Moment]:
    """What happened when."""
    found = [Moment(incident["firstSignalAt"], f"First signal: {incident['detector'].replace('-', ' ')}", "known")]
    fields = (
        ("occurredFrom", "It began", "harm"),
        ("occurredUntil", "It ended", "harm"),
        ("awareAt", "We knew: the clocks run", "known"),
        ("countedAt", "Counted who is affected", "done"),
        ("peopleToldAt", "Everybody affected was told", "done"),
        ("closedAt", "Closed", "end"),
    )
    found += [Moment(incident[name], text, kind) for name, text, kind in fields if incident.get(name)]
    if ruled_out := incident.get("ruledOut"):
        found.append(Moment(ruled_out["at"], "Two people ruled out that anybody is affected", "done"))
    if approved := incident.get("notice"):
        found.append(Moment(approved["approvedAt"], "Two people approved the notice", "done"))
    for row in incident["measures"].values():
        words = row["measure"].replace("-", " ")
        found.append(Moment(row["at"], f"Contained: {words}", "done"))
        if row["undoneAt"]:
            found.append(Moment(row["undoneAt"], f"Given back: {words}", "done"))
    for clock, rows in (incident.get("filings") or {}).items():
        for row in rows.values():
            found.append(Moment(row["at"], f"Told {BY_NAME[clock].recipient} ({row['phase']})", "done"))
    return found


def page(name: str, incident: dict[str, Any], now: datetime) -> str:
    """The report as a page, with its picture."""
    running = deadlines.running(incident)
    rows = [
        {
            "name": one.clock.name,
            "recipient": one.clock.recipient,
            "source": one.clock.source,
            "due": iso(one.due),
            "met": iso(one.met) if one.met else "",
            "state": "late" if one.is_overdue(now) else "in time" if one.met else "open",
        }
        for one in running
    ]
    aware = incident.get("awareAt")
    facts = [
        ("State", incident["state"] + (", a false alarm" if incident.get("falseAlarm") else "")),
        ("Severity", str(incident["severity"])),
        ("Seen by", incident["detector"].replace("-", " ")),
        ("From signal to knowing", duration(max(aware - incident["firstSignalAt"], timedelta())) if aware else ""),
        ("Affected", ", ".join(f"{k}: {v}" for k, v in sorted((incident.get("affected") or {}).items()))),
        *((label, str((incident.get("numbers") or {}).get(key, ""))) for key, label in _NUMBERS),
        ("Lawful delay", (incident.get("delay") or {}).get("basis", "")),
    ]
    said: dict[str, str] = incident.get("said") or {}
    if incident.get("numbers"):
        said = {"uncertainty": texts.uncertainty(incident), **said}
    told = [(label, said[key]) for key, label in _SAID if said.get(key)]
    context = {"reference": name, "facts": [row for row in facts if row[1]], "clocks": rows, "said": told}
    return (
        templates.environment("cli")
        .get_template("incident-report.html.j2")
        .render(context, picture=svg(moments(incident)))
    )


_NUMBERS: Final = (
    ("records", "Records touched"),
    ("people", "People in the evidence"),
    ("sealed", "of whom stayed sealed"),
    ("gone", "of whom are erased"),
    ("unnamed", "Reads that name nobody"),
)
_SAID: Final = (
    ("whatHappened", "What happened"),
    ("consequences", "Likely consequences"),
    ("measures", "Measures"),
    ("uncertainty", "Uncertainty"),
)
