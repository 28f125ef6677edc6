"""Campaigns for those who look after them.

python -m astra.campaigns status                          all that are not complete, how far they are and until when
python -m astra.campaigns show NAME                       one of them, with its jobs and its letters
python -m astra.campaigns preview KIND [--fact K=V …]     what it would say, as files to look at
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.cloud import firestore

from astra import campaigns, cohorts, documents, letters, operator, tables
from astra.campaigns import Channel, State
from astra.clock import iso
from astra.cohorts import DELIVERIES, LANE, LETTER_STATES, SHARDS
from astra.notices import Kind
from astra.platform import Platform
from astra.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

_MEMBERS: Final = ("told", "queued", "gone")
_GOING: Final = (State.CANARY, State.RUNNING)


@dataclass(frozen=True)
class Progress:
    """How far a campaign is at a moment. Members are reached when they are told or a letter to them is in the queue."""

    fields: dict[str, Any]
    jobs: dict[str, dict[str, Any]]
    letters: dict[str, int]
    """How many are in which state."""
    at: datetime

    @classmethod
    def of(cls, platform: Platform[Settings], stored: "firestore.DocumentSnapshot[Any]") -> "Progress":
        """Reads the campaign's jobs, and has its letters counted."""
        fields = stored.to_dict() or {}
        shards = stored.reference.collection(SHARDS).get()
        jobs = {shard.id: shard.to_dict() or {} for shard in shards}
        by_mail = Channel.EMAIL in fields["channels"]
        counted = _letters(platform.db, stored.id) if by_mail else {}
        return cls(fields, jobs, counted, platform.clock())

    @property
    def members(self) -> Counter[str]:
        """How many were told, have a letter in the queue, or are gone."""
        counts = sum((Counter(job.get("counts", {})) for job in self.jobs.values()), Counter[str]())
        return Counter({name: counts[name] for name in _MEMBERS})

    @property
    def steps(self) -> int:
        """What is done of two steps for each member: that they are reached, and that no letter to them is left to send.
        It only grows: a letter that is queued takes back one of two steps that reaching its member was."""
        reached, letters = self.members.total(), self.letters.get("letters", 0)
        # Of a list each has a row from the beginning, of everybody only who was reached.
        return reached + max(reached, letters) - self.letters.get("queued", 0)

    @property
    def share(self) -> float:
        """From 0 to 1, of all steps."""
        if self.fields["state"] == State.COMPLETE:
            return 1.0
        return min(1.0, self.steps / (2 * self.fields["count"])) if self.fields["count"] else 0.0

    @property
    def rate(self) -> float | None:
        """Members reached a second since it was last let go, if it is under way or complete."""
        until = self.fields["completedAt"] or (self.at if self.fields["state"] in _GOING else None)
        if not (until and self.fields["goingSince"]):
            return None
        reached = self.members.total() - self.fields["goingFrom"]["members"]
        return float(reached / max((until - self.fields["goingSince"]).total_seconds(), 1e-3))

    @property
    def remaining(self) -> timedelta | None:
        """How long it takes if it goes on as it did since it was last let go."""
        if self.fields["state"] not in _GOING or not self.fields["count"]:
            return None
        done = self.steps - self.fields["goingFrom"]["steps"]
        so_far: timedelta = self.at - self.fields["goingSince"]
        return so_far * (max(0, 2 * self.fields["count"] - self.steps) / done) if done > 0 else None

    def going_on(self) -> dict[str, Any]:
        """The campaign's fields when it is let go on: from then on its pace is measured, not over what it waited."""
        return cohorts.going(self.at, self.members.total(), self.steps)


def _letters(db: firestore.Client, name: str) -> dict[str, int]:
    rows = db.collection_group(DELIVERIES).where(filter=firestore.FieldFilter("campaign", "==", name))
    found = {
        state: documents.count(rows.where(filter=firestore.FieldFilter("state", "==", state)))
        for state in LETTER_STATES
    }
    return found | {"letters": sum(found.values())}


def _row(name: str, progress: Progress) -> list[Any]:
    from rich.progress_bar import ProgressBar  # noqa: PLC0415  (staff's machines have it, functions do not)

    fields, rate, left = progress.fields, progress.rate, progress.remaining
    stuck = sum(job["state"] == "stuck" for job in progress.jobs.values())
    bar = ProgressBar(total=1.0, completed=progress.share, width=20)
    told = f"{progress.members.total()} of {fields['count'] if fields['count'] is not None else '?'}"
    state = fields["state"] + (f", {stuck} stuck" if stuck else "")
    speed = f"{rate:.1f}/s" if rate is not None else ""
    end = iso(fields["completedAt"]) if fields["completedAt"] else f"in {_short(left)}" if left is not None else ""
    return [name, fields["kind"], state, bar, told, str(progress.letters.get("queued", "")), speed, end]


def _short(duration: timedelta) -> str:
    minutes = round(duration.total_seconds() / 60)
    return f"{minutes} min" if minutes else f"{round(duration.total_seconds())} s"


def _status(platform: Platform[Settings], stored: "Iterable[firestore.DocumentSnapshot[Any]]") -> "Table":
    table = tables.table("campaign", "kind", "state", "", "members", "letters waiting", "rate", "complete")
    for one in stored:
        table.add_row(*_row(one.id, Progress.of(platform, one)))
    return table


def _jobs(progress: Progress, now: datetime) -> "Table":
    table = tables.table("job", "state", "failures", "due", "so far")
    for name, job in sorted(progress.jobs.items()):
        due = "" if job["nextRunAt"] is None else "now" if job["nextRunAt"] <= now else iso(job["nextRunAt"])
        counts = ", ".join(f"{what}: {many}" for what, many in sorted(job["counts"].items()) if many)
        table.add_row(name, job["state"], str(job["attempts"]), due, counts or ("letters" if LANE in name else ""))
    for state, many in progress.letters.items():
        table.add_row("", "", "", f"letters {state}" if state in LETTER_STATES else "letters in all", str(many))
    return table


def _fact(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("give a fact as NAME=TEXT")
    return name, value


def preview(kind: Kind, facts: dict[str, str], folder: Path) -> list[Path]:
    """Write what it would say into `folder`, as text and as a page. Raises ValueError, LookupError."""
    letter = letters.render(kind, facts)
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


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    parser = operator.Parser(prog="python -m astra.campaigns", description="Look after campaigns of notices.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("status", help="how far those are that are not complete")
    verbs.add_parser("show", help="one of them, with its jobs and its letters").add_argument("name")
    shown = verbs.add_parser("preview", help="what one would say, as files to look at")
    shown.add_argument("kind", type=Kind, choices=list(Kind), metavar="KIND")
    shown.add_argument("--fact", type=_fact, action="append", default=[], metavar="NAME=TEXT")
    shown.add_argument("--folder", type=Path, default=Path("build/preview"))
    chosen = parser.parse_args()
    try:
        if chosen.verb == "preview":
            for path in preview(chosen.kind, dict(chosen.fact), chosen.folder):
                print(path)  # noqa: T201
            return 0
        with operator.platform(Settings, chosen, acts=False) as platform:
            if chosen.verb == "status":
                going = firestore.FieldFilter("state", "!=", State.COMPLETE.value)
                tables.show(_status(platform, platform.db.collection(campaigns.CAMPAIGNS).where(filter=going).get()))
                return 0
            stored = _find(platform, chosen.name)
            tables.show(_status(platform, [stored]))
            tables.show(_jobs(Progress.of(platform, stored), platform.clock()))
    except (LookupError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0
