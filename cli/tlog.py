"""The transparency log for those who look after it, and for those who look into it.

python -m astra.audit status                  is the sequencer at work
python -m astra.audit list [--subject P]      the newest entries
python -m astra.audit verify                  everything against the witness; exits 1 if anything is wrong
python -m astra.audit export FROM TO FILE     entries of these days, each with its proof, for `verify.py`
python -m astra.audit key                     the key that the log is verified with
python -m astra.audit announce VERIFIER       before the log signs with another key: have the old one say so
python -m astra.audit resume                  let a sequencer that is stuck try again
python -m astra.audit recover                 after a restored backup: go on from what the witness remembers
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from astra import jobs, tlog
from astra.runtime.clock import iso
from astra.runtime.log import Inconsistent
from astra.runtime.platform import Platform
from astra.tlog import receipts
from astra.tlog.signed_note import Verifier, checkpoint_of
from astra.tlog.tiles import Tiles
from cli import operator, output, tlog_recover, tlog_verify
from tlog.settings import LogKeySettings, LogSettings
from tlog.witness import WitnessError, verifiers

if TYPE_CHECKING:
    from rich.table import Table

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


def _listing(fields: Iterator[dict[str, Any]]) -> "Table":
    table = output.table("entry", "made at", "action", "whom it concerns", "who of the staff", "record")
    for entry in fields:
        at = iso(datetime.fromtimestamp(entry["at"], UTC))
        place = "pending" if entry["index"] is None else str(entry["index"])
        state = {None: "removed", True: "is the one committed to", False: "IS ANOTHER"}[tlog.is_opened_by(entry)]
        subject = entry["id"].partition(".")[0][:_SHORT]
        table.add_row(place, at, entry["action"], subject, (entry["actor"] or "")[:_SHORT], state)
    return table


def _verified(report: tlog_verify.Report) -> "Table":
    table = output.table("", "")
    table.show_header = False
    for name in ("size", "checkpoints", "opened", "lost", "pending"):
        table.add_row(name, str(getattr(report, name)))
    for problem in report.problems:
        table.add_row("PROBLEM", problem)
    table.add_row("verdict", "not as it was witnessed" if report.problems else "the log is as it was witnessed")
    return table


def _status(platform: Platform[Any]) -> "Table":
    job = platform.db.document(JOB).get().to_dict() or {}
    table = output.table("state", "entries with a place", "in a checkpoint", "failures", "due")
    due = iso(job["nextRunAt"]) if job.get("nextRunAt") else ""
    table.add_row(*(str(job.get(name, "")) for name in ("state", "size", "published", "attempts")), due)
    return table


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    parser = operator.Parser(prog="python -m astra.audit", description="Look into the transparency log.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("status", help="is the sequencer at work")
    listing = verbs.add_parser("list", help="the newest entries")
    listing.add_argument("--subject", default="", help="only those about this pseudonym, or its first digits")
    listing.add_argument("--most", type=int, default=50)
    verbs.add_parser("verify", help="everything against the witness")
    export = verbs.add_parser("export", help="entries of some days, with their proofs")
    export.add_argument("first", type=_day, metavar="FROM", help="YYYY-MM-DD, in UTC")
    export.add_argument("last", type=_day, metavar="TO", help="YYYY-MM-DD, that day included")
    export.add_argument("file", type=Path)
    verbs.add_parser("key", help="the key that the log is verified with")
    verbs.add_parser("announce", help="have the old key say which is next").add_argument("verifier")
    verbs.add_parser("resume", help="let a stuck sequencer try again")
    recovering = verbs.add_parser("recover", help="after a restored backup: go on from what the witness remembers")
    recovering.add_argument("--yes", action="store_true", help="don't ask")
    chosen = parser.parse_args()
    kind = LogSettings if chosen.verb in ("verify", "recover") else LogKeySettings
    with operator.platform(kind, chosen, acts=chosen.verb not in ("status", "list")) as platform:
        return _run(platform, chosen)


def _run(platform: Platform[Any], chosen: argparse.Namespace) -> int:
    actions: dict[str, Callable[[], int | None]] = {
        "status": lambda: output.show(_status(platform)),
        "list": lambda: output.show(_listing(_newest(platform, chosen.subject, chosen.most))),
        "verify": lambda: _judged(tlog_verify.verify(platform)),
        "export": lambda: _exported(platform, chosen.first, chosen.last + timedelta(days=1), chosen.file),
        "key": lambda: output.show("\n".join(map(str, verifiers(platform.settings)))),
        "announce": lambda: announce(platform, chosen.verifier),
        "resume": lambda: resume(platform),
        "recover": lambda: _recovered(platform, sure=chosen.yes),
    }
    try:
        return actions[chosen.verb]() or 0
    except (LookupError, ValueError, Inconsistent, WitnessError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


def _judged(report: tlog_verify.Report) -> int:
    output.show(_verified(report))
    return 1 if report.problems else 0


def _recovered(platform: Platform[LogSettings], *, sure: bool) -> int:
    found = tlog_recover.plan(platform)
    table = output.table("", "")
    table.show_header = False
    table.add_row("the witness remembers", f"{found.checkpoint.size} entries")
    table.add_row("records lost", str(found.records_lost))
    for lost in found.lost:
        table.add_row("", f"of entries {lost.start} to {lost.stop - 1}")
    back = sum(place is not None for place in found.places.values())
    table.add_row("go back to their places", str(back))
    table.add_row("get new places", str(len(found.places) - back))
    output.show(table)
    if not sure and input("The log will say for good that these records are lost. Go on? [yes/no] ") != "yes":
        output.show("nothing was changed")
        return 1
    tlog_recover.recover(platform, found)
    output.show("the sequencer goes on from there; `verify` says whether all is well")
    return 0


def _exported(platform: Platform[LogKeySettings], first: datetime, end: datetime, file: Path) -> None:
    found = evidence(platform, first, end)
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    output.show(f"{len(found['entries'])} entries with their proofs, {len(found['closed'])} without a record: {file}")


if __name__ == "__main__":
    sys.exit(main())
