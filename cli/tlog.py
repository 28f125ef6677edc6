"""The transparency log: the sequencer's state, entries, verification, keys, and recovery."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from astra import jobs, tlog
from astra.runtime.clock import iso
from astra.runtime.log import Inconsistent
from astra.runtime.platform import Platform
from astra.tlog import receipts
from astra.tlog.signed_note import Verifier, checkpoint_of
from astra.tlog.tiles import Tiles
from cli import common, operator, output, tlog_recover, tlog_verify
from tlog.settings import LogKeySettings, LogSettings
from tlog.witness import WitnessError, verifiers

JOB: Final = "rounds/log"
_SHORT: Final = 10


def announce(platform: Platform[LogKeySettings], line: str) -> None:
    """Log that another key will sign from now on. Said again, nothing happens. Raises ValueError for what is no key."""
    verifier = Verifier.parse(line)
    if verifier.name != platform.settings.log_origin:
        raise ValueError(f"the key must bear the log's name, {platform.settings.log_origin}")
    batch = platform.db.batch()
    record = {"verifier": str(verifier)}
    entry = tlog.Entry(tlog.Action.KEY_ANNOUNCED, record, platform.clock())
    tlog.append(batch, platform.db, entry, name=verifier.key_id.hex())
    try:
        batch.commit()
    except AlreadyExists:
        return


def resume(platform: Platform[Any]) -> None:
    """Let a sequencer that is stuck, or waits after a failure, try again. Raises LookupError if there is none."""
    job = platform.db.document(JOB)
    if not job.get(["state"]).exists:
        raise LookupError("nothing was ever sequenced here")
    job.update(jobs.revived(platform.clock()))


def evidence(platform: Platform[LogKeySettings], first: datetime, end: datetime) -> dict[str, Any]:
    """The entries made from `first` until before `end`, each with its receipt, and what they are checked with.

    An entry whose record was removed is there without one: its commitment alone. Raises LookupError without a
    checkpoint, Tampered if an entry is not what is in the tree.
    """
    tiles = Tiles(platform.bucket)
    note = tiles.checkpoint()
    if note is None:
        raise LookupError("the log has no checkpoint yet")
    size = checkpoint_of(note).size
    chosen = [
        fields
        for fields in tlog_verify.documents(platform.db, 0)
        if first.timestamp() <= fields["at"] < end.timestamp() and fields["index"] < size
    ]
    return {
        "from": iso(first),
        "to": iso(end),
        "checkpoint": note,
        "verifiers": [str(verifier) for verifier in verifiers(platform.settings)],
        "entries": [_piece(fields, tiles, note) for fields in chosen if tlog.is_opened_by(fields) is not None],
        "closed": [_public(fields) for fields in chosen if tlog.is_opened_by(fields) is None],
    }


def _piece(fields: dict[str, Any], tiles: Tiles, note: str) -> dict[str, Any]:
    return {**_public(fields), "record": tlog.record(fields), "proof": receipts.of_fields(fields, tiles, note)}


def _public(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in ("index", "action", "at", "actor", "commitment")}


def _newest(platform: Platform[Any], subject: str, most: int) -> Iterator[dict[str, Any]]:
    entries = platform.db.collection(tlog.COMMITMENTS)
    if subject:
        ends = (tlog.reference(platform.db, subject + end) for end in ("", "\uf8ff"))
        at_least, below = (
            firestore.FieldFilter("__name__", sign, end) for sign, end in zip((">=", "<"), ends, strict=True)
        )
        rows = entries.where(filter=at_least).where(filter=below).get()
        found = sorted(({**(row.to_dict() or {}), "id": row.id} for row in rows), key=lambda fields: -fields["at"])
        yield from found[:most]
        return
    query = entries.order_by("at", direction=firestore.Query.DESCENDING).limit(most)
    yield from ({**(row.to_dict() or {}), "id": row.id} for row in query.get())


def _listing(fields: Iterator[dict[str, Any]]) -> output.Table:
    table = output.table("entry", "made at", "action", "whom it concerns", "who of the staff", "record")
    for entry in fields:
        at = iso(datetime.fromtimestamp(entry["at"], UTC))
        place = "pending" if entry["index"] is None else str(entry["index"])
        state = {None: "removed", True: "is the one committed to", False: "IS ANOTHER"}[tlog.is_opened_by(entry)]
        subject = entry["id"].partition(".")[0][:_SHORT]
        table.add_row(place, at, entry["action"], subject, (entry["actor"] or "")[:_SHORT], state)
    return table


def _verified(report: tlog_verify.Report) -> output.Table:
    table = output.table("what", "value")
    table.show_header = False
    for name in ("size", "checkpoints", "opened", "lost", "pending"):
        table.add_row(name, str(getattr(report, name)))
    for problem in report.problems:
        table.add_row("PROBLEM", problem)
    table.add_row("verdict", "not as it was witnessed" if report.problems else "the log is as it was witnessed")
    return table


def _status(platform: Platform[Any]) -> output.Table:
    job = platform.db.document(JOB).get().to_dict() or {}
    table = output.table("state", "entries with a place", "in a checkpoint", "failures", "due")
    due = iso(job["nextRunAt"]) if job.get("nextRunAt") else ""
    table.add_row(*(str(job.get(name, "")) for name in ("state", "size", "published", "attempts")), due)
    return table


def _recovered(platform: operator.Desk[LogSettings]) -> None:
    found = tlog_recover.plan(platform)
    table = output.table("what", "value")
    table.show_header = False
    table.add_row("the witness remembers", f"{found.checkpoint.size} entries")
    table.add_row("records lost", str(found.records_lost))
    for lost in found.lost:
        table.add_row("", f"of entries {lost.start} to {lost.stop - 1}")
    back = sum(place is not None for place in found.places.values())
    table.add_row("go back to their places", str(back))
    table.add_row("get new places", str(len(found.places) - back))
    output.show(table)
    common.confirm(platform, "log for good that these records are lost, and let the sequencer go on")
    tlog_recover.recover(platform, found)
    output.note("the sequencer goes on from there; `astra tlog verify` says whether all is well")


def _exported(platform: Platform[LogKeySettings], first: datetime, end: datetime, file: Path) -> None:
    found = evidence(platform, first, end)
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    output.show(f"{len(found['entries'])} entries with their proofs, {len(found['closed'])} without a record: {file}")


@contextmanager
def _log(kind: type[operator.S], *, acts: bool) -> Iterator["operator.Desk[operator.S]"]:
    """The platform of a verb; the witness's and the log's own errors become a line."""
    try:
        with operator.platform(kind, acts=acts) as platform:
            yield platform
    except (Inconsistent, WitnessError) as error:
        raise common.Failed(str(error)) from None


app = typer.Typer()


@app.command()
def status() -> None:
    """Show whether the sequencer is at work."""
    with _log(LogKeySettings, acts=False) as platform:
        output.show(_status(platform))


@app.command(name="list")
def list_entries(
    subject: Annotated[str, typer.Option(help="only those about this pseudonym, or its first digits")] = "",
    most: int = 50,
) -> None:
    """List the newest entries."""
    with _log(LogKeySettings, acts=False) as platform:
        output.show(_listing(_newest(platform, subject, most)))


@app.command()
def verify() -> None:
    """Verify everything against the witness; exit with 1 if anything is wrong."""
    with _log(LogSettings, acts=True) as platform:
        report = tlog_verify.verify(platform)
    output.show(_verified(report))
    if report.problems:
        raise typer.Exit(1)


@app.command()
def export(
    first: Annotated[datetime, typer.Argument(metavar="FROM", formats=["%Y-%m-%d"], help="a day, in UTC")],
    last: Annotated[datetime, typer.Argument(metavar="TO", formats=["%Y-%m-%d"], help="that day included")],
    file: Path,
) -> None:
    """Write the entries of some days, each with its proof, for verify.py."""
    with _log(LogKeySettings, acts=True) as platform:
        _exported(platform, first.replace(tzinfo=UTC), last.replace(tzinfo=UTC) + timedelta(days=1), file)


@app.command()
def key() -> None:
    """Print the keys that the log is verified with."""
    with _log(LogKeySettings, acts=True) as platform:
        output.lines("verifier", verifiers(platform.settings))


@app.command(name="announce")
def announce_key(verifier: str) -> None:
    """Have the old key say which one signs next."""
    with _log(LogKeySettings, acts=True) as platform:
        common.confirm(platform, f"announce {verifier} as the next key")
        announce(platform, verifier)


@app.command()
def retry() -> None:
    """Let a sequencer go on that is stuck, or waits after a failure."""
    with _log(LogKeySettings, acts=True) as platform:
        common.confirm(platform, "let the sequencer try again")
        resume(platform)


@app.command()
def recover() -> None:
    """After a restored backup, go on from what the witness remembers."""
    with _log(LogSettings, acts=True) as platform:
        _recovered(platform)
