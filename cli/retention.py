"""The retention sweep: what the next one would take, and how the last one went."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import typer

from astra import jobs
from astra.datamap import expiry
from astra.datamap.model import Store
from astra.datamap.table import DATA_MAP
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform
from cli import common, operator, output
from retention import objects_and_keys
from retention.documents import Round, Rows, Snapshots
from retention.inactivity import Inactive, Step
from retention.schedule import reference
from retention.settings import RetentionSettings

_PAGE: Final = 300


@dataclass(frozen=True)
class Line:
    """What of one entry is due. `going` of it would go, `held` stays for a legal hold or another reason to wait."""

    entry: str
    where: str
    due: int
    going: int
    held: int
    oldest: datetime | None
    why: str


def would_go(platform: Platform[RetentionSettings]) -> Iterator[Line]:
    """What the next sweep would do, entry by entry, without doing any of it."""
    for entry in expiry.entries():
        rows = Rows(platform, entry, platform.clock)
        due, held, oldest = 0, 0, None
        for page in _pages(rows):
            ours = [row for row in page if entry.claims(row.reference.path)]
            due, held = due + len(ours), held + _held(platform, rows, ours)
            oldest = oldest or (ours[0].get(rows.field) if ours else None)
        yield Line(entry.name, entry.where, due, due - held, held, oldest, entry.retention)
    for entry in objects_and_keys.folders():
        times = [blob.time_created for blob in objects_and_keys.stale(platform, entry, platform.clock())]
        yield Line(entry.name, entry.where, len(times), len(times), 0, min(times, default=None), entry.retention)
    keys = sum(1 for _ in objects_and_keys.forgotten(platform))
    [counters] = [entry for entry in DATA_MAP if entry.store is Store.REDIS]
    yield Line(counters.name, counters.where, keys, keys, 0, None, "keys without a time to live")
    yield _inactive(platform)


def _inactive(platform: Platform[RetentionSettings]) -> Line:
    [profile] = [entry for entry in DATA_MAP if entry.name == "profile"]
    inactive, steps, oldest = Inactive(platform, platform.clock), Counter[Step](), None
    for page in _pages(inactive):
        people = inactive.people(page)
        oldest = oldest or (people[0].get(inactive.field) if people else None)
        for first in range(0, len(people), inactive.most):
            steps += Counter(inactive.steps(people[first : first + inactive.most]))
    waiting = steps[Step.WAIT] + steps[Step.AGAIN]
    why = f"{profile.retention}; {steps[Step.WARN]} to be warned"
    return Line(profile.name, profile.where, steps.total(), steps[Step.ERASE], waiting, oldest, why)


def _pages(of: Round) -> Iterator[Snapshots]:
    query = of.due().limit(_PAGE)
    while page := query.get():
        yield page
        query = of.due().start_after(page[-1]).limit(_PAGE)


def _held(platform: Platform[RetentionSettings], rows: Rows, page: Snapshots) -> int:
    places = [rows.holds_of(row) for row in page]
    needed = {place.path: place for place in places if place}
    stored = {snapshot.reference.path: snapshot for snapshot in fetch(platform.db, *needed.values())}
    return sum(rows.hold(row, stored[place.path]) is not None for row, place in zip(page, places, strict=True) if place)


def retry(platform: Platform[RetentionSettings], name: str) -> None:
    """Let a stuck job go on at the next sweep; raises LookupError for one that is not."""
    job = reference(platform.db, name)
    if (job.get(["state"]).to_dict() or {}).get("state") != jobs.STUCK:
        raise LookupError("there is nothing to retry: no job of this name is stuck")
    job.update(jobs.revived(platform.clock()))


def _report(platform: Platform[RetentionSettings]) -> output.Table:
    table = output.table("entry", "where", "due", "would go", "held", "oldest", "why")
    for line in would_go(platform):
        numbers = (str(line.due), str(line.going), str(line.held))
        table.add_row(line.entry, line.where, *numbers, iso(line.oldest) if line.oldest else "", line.why)
    return table


def _status(platform: Platform[RetentionSettings]) -> output.Table:
    table = output.table("job", "state", "failures", "due", "in the last round")
    for job in platform.db.collection("rounds").get():
        if not job.id.startswith(("sweep-", "restamp-")):
            continue
        counts = ", ".join(f"{count} {what}" for what, count in sorted(job.get("counts").items()))
        due = job.get("nextRunAt")
        table.add_row(job.id, job.get("state"), str(job.get("attempts")), iso(due) if due else "", counts)
    return table


app = typer.Typer()


@app.command()
def status() -> None:
    """List the sweep's jobs, and what their last round did."""
    with operator.platform(RetentionSettings, acts=False) as platform:
        output.show(_status(platform))


@app.command()
def preview() -> None:
    """Show what the next sweep would take, and why. Deletes nothing: the schedule is what does it."""
    with operator.platform(RetentionSettings, acts=True) as platform:
        output.show(_report(platform))


@app.command(name="retry")
def retry_job(job: str) -> None:
    """Let a stuck job go on at the next sweep."""
    with operator.platform(RetentionSettings, acts=True) as platform:
        common.confirm(platform, f"retry {job}")
        retry(platform, job)
        output.show(_status(platform))
