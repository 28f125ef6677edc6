"""Business transfers: who was told, when each opens, and why it is shut."""

from collections.abc import Iterator

import typer
from google.cloud import firestore

from astra.notices import campaigns
from astra.runtime.clock import iso
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from cli import operator, output
from governance.transfers import TRANSFERS, Closed, Transfer, refuse_frozen


def status(platform: Platform[Settings]) -> Iterator[tuple[str, ...]]:
    """Of each transfer: id, recipient, how many were told, of how many, when it opens, and why it is shut."""
    db = platform.db
    for stored in db.collection(TRANSFERS).order_by("plannedAt").get():
        transfer = Transfer.of(stored)
        complete_at = campaigns.completed_at(db, transfer.campaign)
        opens_at = iso(max(transfer.planned_at, complete_at + transfer.waiting)) if complete_at else "unknown"
        try:
            refuse_frozen(db)
            transfer.refuse_closed(complete_at, platform.clock())
            why = "open"
        except Closed as closed:
            why = closed.reason
        yield transfer.name, transfer.recipient, _told(db, transfer.campaign), opens_at, why


def _told(db: firestore.Client, name: str) -> str:
    fields = campaigns.reference(db, name).get().to_dict() or {}
    told = fields.get("counts", {}).get("told", 0)
    return f"{told} of {'?' if fields.get('count') is None else fields['count']}"


app = typer.Typer()


@app.command(name="status")
def show_status() -> None:
    """Show each transfer: who was told, when its gate opens, and why it is shut."""
    table = output.table("transfer", "recipient", "told", "opens at", "gate")
    with operator.platform(Settings, acts=False) as platform:
        for row in status(platform):
            table.add_row(*row)
    output.show(table)
