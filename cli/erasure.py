"""Erasures: what is under way or stuck, how far one is, and a retry; the roll call."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from google.cloud import firestore

from astra import jobs
from astra.erasure import JOBS, roll_call
from astra.runtime.clock import iso
from astra.runtime.firestore import transact
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from cli import common, operator, output
from cli import roll_call as roll_call_command

_SHORT: Final = 10


def retry(platform: Platform[Settings], job: firestore.DocumentReference) -> None:
    """Let an erasure that is stuck or waits after a failure go on now; raises LookupError for one that has ended.

    It takes up the step at which it was. The reconciler hands it to a worker.
    """
    now = platform.clock()

    def body(transaction: firestore.Transaction) -> None:
        fields = job.get(transaction=transaction).to_dict() or {}
        if fields.get("state") not in ("running", "stuck"):
            raise LookupError("there is nothing to retry: it has ended")
        if fields["state"] == "running" and not fields["attempts"]:
            raise LookupError("there is nothing to retry: it goes on by itself, or waits as it should")
        # A round's plan is of what Auth said when it was made: it looks anew.
        anew = roll_call.begun() if job == roll_call.job(platform.db) else {"reopened": 0}
        transaction.update(job, jobs.revived(now) | anew)

    transact(platform.db, body)


def find(platform: Platform[Settings], who: str) -> firestore.DocumentReference:
    """The erasure that a receipt, an account id or the first digits of a pseudonym stand for; raises LookupError."""
    if who == roll_call.job(platform.db).id:
        return roll_call.job(platform.db)
    stored, digits = platform.db.collection(JOBS), who.partition(".")[0]
    if re.fullmatch(rf"[0-9a-f]{{{_SHORT},64}}", digits):
        first, last = (stored.document(digits + end) for end in ("", "\uf8ff"))
        query = stored.where(filter=firestore.FieldFilter("__name__", ">=", first))
        found = query.where(filter=firestore.FieldFilter("__name__", "<", last)).select([]).limit(2).get()
        if len(found) == 1:
            return found[0].reference
    # Only now: what staff mostly give needs no key.
    by_uid = stored.document(platform.pseudonyms.of_uid(who))
    if by_uid.get(["state"]).exists:
        return by_uid
    raise LookupError(f"no erasure is known by this: give a receipt, an account id, or {_SHORT} digits or more")


def _open(platform: Platform[Settings]) -> list["firestore.DocumentSnapshot[Any]"]:
    """The roll call, and erasures that are not verified: first what needs somebody, then what is due longest."""
    states = firestore.FieldFilter("state", "in", ["running", "stuck"])
    jobs_ = [*platform.db.collection(JOBS).where(filter=states).get(), roll_call.job(platform.db).get()]
    return sorted(
        (job for job in jobs_ if job.exists), key=lambda job: (job.get("state") != "stuck", str(job.get("nextRunAt")))
    )


def _due(job: dict[str, Any], now: datetime) -> str:
    if job["nextRunAt"] is None:
        return ""
    minutes = round((job["nextRunAt"] - now).total_seconds() / 60)
    return f"in {minutes} min" if minutes > 0 else f"{-minutes} min ago" if minutes else "now"


def _status(platform: Platform[Settings]) -> output.Table:
    table = output.table("erasure", "state", "step", "deleted", "failures", "reopened", "due")
    for snapshot in _open(platform):
        job = snapshot.to_dict() or {}
        numbers = (sum(job.get("counts", {}).values()), job["attempts"], job.get("reopened", 0))
        row = (snapshot.id[:_SHORT], job["state"], job.get("step", ""), *map(str, numbers))
        table.add_row(*row, _due(job, platform.clock()))
    return table


def _show(job: dict[str, Any], now: datetime) -> output.Table:
    table = output.table("entry", "deleted", "retained", "until", "basis")
    certificate = job.get("certificate")
    table.facts = {"state": job["state"], "asked": iso(job["createdAt"])}
    if certificate:
        table.facts["verified"] = certificate["verifiedAt"]
        for line in certificate["stores"]:
            until = line.get("until", "")
            table.add_row(line["entry"], str(line["deleted"]), str(line["retained"]), until, line.get("basis", ""))
    else:
        table.facts |= {"step": job.get("step", ""), "due": _due(job, now)}
        for name, count in job.get("counts", {}).items():
            table.add_row(name, str(count))
    return table


app = typer.Typer()


@app.command()
def status() -> None:
    """List what is not verified: stuck first, then what is due longest."""
    with operator.platform(Settings, acts=False) as platform:
        output.show(_status(platform))
        output.note(roll_call.state_line(platform.db))
        output.note(roll_call_command.deletion_line(platform.project, platform.session, platform.google.identity))


_WHO = Annotated[str, typer.Argument(help="receipt, account id, or the pseudonym's first digits")]


@app.command()
def show(who: _WHO) -> None:
    """Show how far one is, or its certificate."""
    with operator.platform(Settings, acts=False) as platform:
        output.show(_show(find(platform, who).get().to_dict() or {}, platform.clock()))


@app.command(name="retry")
def retry_one(who: _WHO) -> None:
    """Let one go on that is stuck, or waits after a failure."""
    with operator.platform(Settings, acts=True) as platform:
        job = find(platform, who)
        common.confirm(platform, f"retry the erasure {job.id[:_SHORT]}")
        retry(platform, job)
        output.show(_show(job.get().to_dict() or {}, platform.clock()))


app.command(name="roll-call")(roll_call_command.look_or_switch)
