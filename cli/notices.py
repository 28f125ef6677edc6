"""Campaigns of notices: how far each is, and what one would say."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from google.cloud import firestore
from rich.progress_bar import ProgressBar

from astra.notices import campaigns, messages
from astra.notices.campaigns import State
from astra.notices.deliveries import LANE, DeliveryState
from astra.notices.inbox import Kind
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from cli import operator, output
from notices.progress import Progress


def _row(name: str, progress: Progress) -> list[Any]:
    fields, rate, left = progress.fields, progress.rate, progress.remaining
    stuck = sum(job["state"] == "stuck" for job in progress.jobs.values())
    bar = ProgressBar(total=1.0, completed=progress.share, width=20)
    told = f"{progress.members.total()} of {fields['count'] if fields['count'] is not None else '?'}"
    state = fields["state"] + (f", {stuck} stuck" if stuck else "")
    speed = f"{rate:.1f}/s" if rate is not None else ""
    end = iso(fields["completedAt"]) if fields["completedAt"] else f"in {_short(left)}" if left is not None else ""
    return [name, fields["kind"], state, bar, told, str(progress.letters.get(DeliveryState.QUEUED, "")), speed, end]


def _short(duration: timedelta) -> str:
    minutes = round(duration.total_seconds() / 60)
    return f"{minutes} min" if minutes else f"{round(duration.total_seconds())} s"


def _status(platform: Platform[Settings], stored: "Iterable[firestore.DocumentSnapshot[Any]]") -> output.Table:
    table = output.table("campaign", "kind", "state", "", "members", "letters waiting", "rate", "complete")
    for one in stored:
        table.add_row(*_row(one.id, Progress.of(platform, one)))
    return table


def _jobs(progress: Progress, now: datetime) -> output.Table:
    table = output.table("job", "state", "failures", "due", "so far")
    for name, job in sorted(progress.jobs.items()):
        due = "" if job["nextRunAt"] is None else "now" if job["nextRunAt"] <= now else iso(job["nextRunAt"])
        counts = ", ".join(f"{what}: {many}" for what, many in sorted(job["counts"].items()) if many)
        table.add_row(name, job["state"], str(job["attempts"]), due, counts or ("letters" if LANE in name else ""))
    for state, many in progress.letters.items():
        table.add_row("", "", "", f"letters {state}" if state in tuple(DeliveryState) else "letters in all", str(many))
    return table


def _fact(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter("give a fact as NAME=TEXT")
    return name, value


def preview(kind: Kind, facts: dict[str, str], folder: Path) -> list[Path]:
    """Write what it would say into `folder`, as text and as a page. Raises ValueError, LookupError."""
    letter = messages.render(kind, facts)
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"txt": f"{letter.notice.title}\n\n{letter.notice.body}\n", "html": letter.html}
    for ending, content in pages.items():
        (folder / f"{kind.value}.{ending}").write_text(content, encoding="utf-8")
    return [folder / f"{kind.value}.{ending}" for ending in pages]


def _find(platform: Platform[Settings], name: str) -> "firestore.DocumentSnapshot[Any]":
    stored = campaigns.reference(platform.db, name).get()
    if not stored.exists:
        raise LookupError("there is no campaign of this name")
    return stored


app = typer.Typer()


@app.command()
def status() -> None:
    """Show how far those are that are not complete, how fast, and until when."""
    with operator.platform(Settings, acts=False) as platform:
        going = firestore.FieldFilter("state", "!=", State.COMPLETE.value)
        output.show(_status(platform, platform.db.collection(campaigns.CAMPAIGNS).where(filter=going).get()))


@app.command()
def show(name: str) -> None:
    """Show one of them, with its jobs and its e-mails."""
    with operator.platform(Settings, acts=False) as platform:
        stored = _find(platform, name)
        jobs = _jobs(Progress.of(platform, stored), platform.clock())
        output.parts(campaign=_status(platform, [stored]), jobs=jobs)


@app.command(name="preview")
def preview_files(
    kind: Annotated[Kind, typer.Argument()],
    fact: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT")] = None,
    folder: Annotated[Path, typer.Option()] = Path("build/preview"),
) -> None:
    """Write what one would say, as files to look at."""
    output.lines("file", preview(kind, dict(map(_fact, fact or [])), folder))
