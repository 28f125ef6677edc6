"""`python -m astra.breach`: the open incidents, their clocks and what to do next, on a screen as narrow as a phone's.

show ID                          one incident
notice ID                        what people are told, its hash, which two people approve, and how many it goes to
draft ID CLOCK PHASE [REASON]    what a regulator is told, and its hash; PHASE is initial, update or final;
                                 REASON is needed if it is late
report ID FILE                   the post-incident report, as a page to print
retry ID                         counting who is affected is stuck: go on
deploying [MINUTES]              announce a deployment: what deployers change meanwhile is no signal
plant NAME ADDRESS PHOTOGRAPH    plant a honey account
"""

import argparse
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from astra import jobs
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.runtime.settings import InactivitySettings, RedisSettings
from breach import deadlines, incidents, texts
from breach.deadlines import BY_NAME, Running
from breach.incidents import State
from breach.thresholds import DEPLOYING
from cli import incident_report, operator
from cli.timeline import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_BAR: Final = 20
_SHOWN: Final = 5
_CALM, _SOON, _NOW = 50, 80, 95
_ACTS: Final = ("retry", "deploying", "plant")


def overview(platform: Platform[Any], console: "Console") -> None:
    """Every open incident, the gravest first."""
    now, found = platform.clock(), incidents.open_ones(platform.db)
    for stored in found:
        _one(console, stored.id, stored.to_dict() or {}, _job(platform, stored.id), now, most=_SHOWN)
    console.print(f"{len(found)} open" if found else "nothing is open")


def _job(platform: Platform[Any], name: str) -> dict[str, Any] | None:
    return incidents.cohort_job(platform.db, name).get().to_dict()


def _one(
    console: "Console",
    name: str,
    incident: dict[str, Any],
    job: dict[str, Any] | None,
    now: datetime,
    most: int = 99,
) -> None:
    from rich.text import Text  # noqa: PLC0415  (staff's machines have it, functions do not)

    level = incident["severity"]
    style = {1: "bold white on red", 2: "black on yellow"}.get(level, "reverse")
    head = Text.assemble((f" {level} ", style), " ", (incident["detector"].replace("-", " "), "bold"))
    console.print(head)
    console.print(
        f"  {name}  {incident['state']}, seen {duration(now - incident['detectedAt'], ago=True)}", highlight=False
    )
    if incident["state"] == State.CONFIRMED and "affected" in incident:
        console.print(f"  {_many(incident)} people affected", highlight=False)
    unmet = [one for one in deadlines.running(incident) if one.met is None]
    for one in unmet[:most]:
        console.print(bar(one, now))
    if len(unmet) > most:
        console.print(f"  and {len(unmet) - most} clocks more", style="dim")
    console.print(Text.assemble("  → ", (incident_report.next_action(name, incident, job), "bold")))
    console.print()


def _many(incident: dict[str, Any]) -> str:
    affected = incident.get("affected")
    return "not known how many" if affected is None else str(sum(affected.values()))


def bar(one: Running, now: datetime) -> "Text":
    """A clock as a bar, and what is left of it."""
    from rich.text import Text  # noqa: PLC0415

    share = min(max(one.share(now), 0), 100)
    colour = "red" if share >= _NOW else "yellow" if share >= _CALM else "green"
    full = round(_BAR * share / 100)
    late = one.is_overdue(now)
    left = f"{duration(now - one.due)} late" if late else f"{duration(one.due - now)} left"
    waits = " (lawful delay)" if one.delayed else ""
    return Text.assemble(
        "  ", ("█" * full, colour), ("░" * (_BAR - full), "dim"), f" {left}{waits}\n", (f"    {one.clock.name}", "dim")
    )


def _incident(platform: Platform[Any], name: str) -> dict[str, Any]:
    fields = incidents.reference(platform.db, name).get().to_dict()
    if fields is None:
        raise LookupError("there is no such incident")
    return fields


def _show(platform: Platform[Any], console: "Console", name: str) -> None:
    incident = _incident(platform, name)
    _one(console, name, incident, _job(platform, name), platform.clock())
    console.print(f"about {incident['about']}", highlight=False)
    if incident.get("numbers"):
        console.print(f"uncertainty: {texts.uncertainty(incident)}", highlight=False)
    for row in sorted(incident["signals"].values(), key=lambda row: str(row["at"])):
        many = f", {row['count']} of at most {row['threshold']}" if "count" in row else ""
        console.print(f"{iso(row['at'])}  {row['what']}{many}  {row['insertId']}", highlight=False)
    for key, row in incident["measures"].items():
        console.print(f"{iso(row['at'])}  {key}{', undone' if row['undoneAt'] else ''}", highlight=False)


def _retry(platform: Platform[Any], name: str) -> None:
    stored = incidents.cohort_job(platform.db, name).get()
    if (stored.to_dict() or {}).get("state") != jobs.STUCK:
        raise LookupError("nothing is stuck there")
    unchanged = platform.db.write_option(last_update_time=stored.update_time)
    stored.reference.update(jobs.revived(platform.clock()), unchanged)


def _told(console: "Console", text: texts.Text) -> None:
    console.print(text.text, markup=False, highlight=False)
    console.print(f"sha256 {text.sha256}", highlight=False)


def run(platform: Platform[Any], console: "Console", chosen: argparse.Namespace) -> None:
    """One command. Raises LookupError and ValueError, whose messages are for people."""
    match chosen.verb:
        case "show":
            _show(platform, console, chosen.incident)
        case "notice":
            incident = _incident(platform, chosen.incident)
            _told(console, texts.notice(chosen.incident, incident))
            console.print(f"people it goes to: {_many(incident)}", highlight=False)
        case "draft":
            incident, clock, now = _incident(platform, chosen.incident), BY_NAME[chosen.clock], platform.clock()
            _told(console, texts.filing(chosen.incident, incident, clock, chosen.phase, chosen.reason, now))
        case "report":
            page = incident_report.page(chosen.incident, _incident(platform, chosen.incident), platform.clock())
            chosen.file.write_text(page, encoding="utf-8")
        case "retry":
            _retry(platform, chosen.incident)
        case "deploying":
            platform.redis.set(DEPLOYING, 1, ex=timedelta(minutes=chosen.minutes))
        case "plant":
            from cli.honeytokens import plant  # noqa: PLC0415

            console.print(plant(platform, chosen.name, chosen.address, chosen.photograph.read_bytes()))
        case _:
            overview(platform, console)


def parser() -> argparse.ArgumentParser:
    """The commands."""
    found = operator.Parser(prog="python -m astra.breach", description="Look after breaches.")
    verbs = found.add_subparsers(dest="verb")
    for verb, what in (
        ("show", "one incident"),
        ("notice", "what people are told, its hash, and how many it goes to"),
        ("retry", "count on"),
    ):
        verbs.add_parser(verb, help=what).add_argument("incident")
    draft = verbs.add_parser("draft", help="what a regulator is told, and its hash")
    draft.add_argument("incident")
    draft.add_argument("clock", choices=sorted(BY_NAME))
    draft.add_argument("phase", choices=texts.PHASES)
    draft.add_argument("reason", nargs="?", default="", help="why it is late")
    report = verbs.add_parser("report", help="the post-incident report, as a page")
    report.add_argument("incident")
    report.add_argument("file", type=Path)
    verbs.add_parser("deploying", help="announce a deployment").add_argument("minutes", type=int, nargs="?", default=30)
    plant = verbs.add_parser("plant", help="plant a honey account")
    plant.add_argument("name")
    plant.add_argument("address")
    plant.add_argument("photograph", type=Path)
    return found


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    from rich.console import Console  # noqa: PLC0415

    chosen = parser().parse_args()
    kind = InactivitySettings if chosen.verb == "plant" else RedisSettings
    try:
        with operator.platform(kind, chosen, acts=chosen.verb in _ACTS) as platform:
            run(platform, Console(soft_wrap=True), chosen)
    except (LookupError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
