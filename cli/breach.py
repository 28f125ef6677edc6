"""Breaches: open incidents with their deadlines and next steps, on a screen as narrow as a phone's."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from astra import jobs
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.runtime.settings import RedisSettings
from breach import deadlines, incidents, texts
from breach.deadlines import BY_NAME, Running
from breach.incidents import State
from breach.thresholds import DEPLOYING
from cli import common, incident_report, operator, output
from cli.timeline import duration

_BAR: Final = 20
_SHOWN: Final = 5
_CALM_PERCENT, _NOW_PERCENT = 50, 95


def overview(platform: Platform[Any], console: Console) -> None:
    """Every open incident, the gravest first."""
    now, found = platform.clock(), incidents.open_ones(platform.db)
    if common.CHOSEN.as_json:
        output.show([_record(stored.id, stored.to_dict() or {}, _job(platform, stored.id)) for stored in found])
        return
    for stored in found:
        _one(console, stored.id, stored.to_dict() or {}, _job(platform, stored.id), now, most=_SHOWN)
    console.print(f"{len(found)} open" if found else "nothing is open")


def _record(name: str, incident: dict[str, Any], job: dict[str, Any] | None) -> dict[str, Any]:
    shown = {field: incident.get(field) for field in ("severity", "detector", "state", "affected", "about")}
    unmet = {one.clock.name: iso(one.due) for one in deadlines.running(incident) if one.met is None}
    return {"incident": name, **shown, "deadlines": unmet, "next": incident_report.next_action(name, incident, job)}


def _job(platform: Platform[Any], name: str) -> dict[str, Any] | None:
    return incidents.cohort_job(platform.db, name).get().to_dict()


def _one(
    console: Console,
    name: str,
    incident: dict[str, Any],
    job: dict[str, Any] | None,
    now: datetime,
    most: int = 99,
) -> None:
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


def bar(one: Running, now: datetime) -> Text:
    """A clock as a bar, and what is left of it."""
    share = min(max(one.share(now), 0), 100)
    colour = "red" if share >= _NOW_PERCENT else "yellow" if share >= _CALM_PERCENT else "green"
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


def _show(platform: Platform[Any], console: Console, name: str) -> None:
    incident = _incident(platform, name)
    if common.CHOSEN.as_json:
        signals = [{**row, "at": iso(row["at"])} for row in incident["signals"].values()]
        measures = {key: "undone" if row["undoneAt"] else "taken" for key, row in incident["measures"].items()}
        record = _record(name, incident, _job(platform, name))
        output.show({**record, "signals": signals, "measures": measures})
        return
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


def _told(console: Console, text: texts.Text, **people: str) -> None:
    if common.CHOSEN.as_json:
        output.show({"text": text.text, "sha256": text.sha256, **people})
        return
    console.print(text.text, markup=False, highlight=False)
    console.print(f"sha256 {text.sha256}", highlight=False)
    for many in people.values():
        console.print(f"people it goes to: {many}", highlight=False)


def _console() -> Console:
    return Console(soft_wrap=True)


_ID = Annotated[str, typer.Argument(metavar="INCIDENT")]
app = typer.Typer()


@app.command()
def status() -> None:
    """Show the open incidents, their deadlines, and what to do next."""
    with operator.platform(RedisSettings, acts=False) as platform:
        overview(platform, _console())


@app.command()
def show(incident: _ID) -> None:
    """Show one incident."""
    with operator.platform(RedisSettings, acts=False) as platform:
        _show(platform, _console(), incident)


@app.command()
def notice(incident: _ID) -> None:
    """Show what people are told, its hash, which two people approve, and how many it goes to."""
    with operator.platform(RedisSettings, acts=False) as platform:
        fields = _incident(platform, incident)
        _told(_console(), texts.notice(incident, fields), people=_many(fields))


@app.command()
def draft(
    incident: _ID,
    clock: Annotated[str, typer.Argument(help=", ".join(sorted(BY_NAME)))],
    phase: Annotated[str, typer.Argument(help=", ".join(texts.PHASES))],
    reason: Annotated[str, typer.Argument(help="why it is late")] = "",
) -> None:
    """Show what a regulator is told, and its hash."""
    for name, value, known in (("CLOCK", clock, sorted(BY_NAME)), ("PHASE", phase, texts.PHASES)):
        if value not in known:
            raise typer.BadParameter(f"is none of {', '.join(known)}", param_hint=name)
    with operator.platform(RedisSettings, acts=False) as platform:
        text = texts.filing(incident, _incident(platform, incident), BY_NAME[clock], phase, reason, platform.clock())
        _told(_console(), text)


@app.command()
def report(incident: _ID, file: Path) -> None:
    """Write the post-incident report, as a page to print."""
    with operator.platform(RedisSettings, acts=False) as platform:
        page = incident_report.page(incident, _incident(platform, incident), platform.clock())
    file.write_text(page, encoding="utf-8")


@app.command()
def retry(incident: _ID) -> None:
    """Let a count of affected people go on that is stuck."""
    with operator.platform(RedisSettings, acts=True) as platform:
        common.confirm(platform, f"go on counting for {incident}")
        _retry(platform, incident)


@app.command()
def deploying(minutes: Annotated[int, typer.Argument(min=1, max=240)] = 30) -> None:
    """Announce a deployment: what deployers change meanwhile is no signal."""
    with operator.platform(RedisSettings, acts=True) as platform:
        common.confirm(platform, f"take no change of roles, rules and keys by deployers for a signal for {minutes} min")
        platform.redis.set(DEPLOYING, 1, ex=timedelta(minutes=minutes))
