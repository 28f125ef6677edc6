"""Processors: the register, and what a new project's lacks."""

from datetime import datetime

import typer
from google.cloud import firestore

from astra.runtime.clock import iso
from astra.runtime.settings import Settings
from cli import common, operator, output
from governance.processors import PROCESSORS, PROCESSORS_COLLECTION, line


def seed(db: firestore.Client, now: datetime) -> None:
    """Enter every processor that the register lacks."""
    for processor in PROCESSORS:
        document = db.collection(PROCESSORS_COLLECTION).document(processor.name)
        if not document.get(["name"]).exists:
            document.set({**line(processor, now), "agreement": None})


app = typer.Typer()


@app.command(name="list")
def list_processors() -> None:
    """List the register, and until when each agreement is valid."""
    table = output.table("processor", "service", "agreement until")
    with operator.platform(Settings, acts=False) as platform:
        for stored in platform.db.collection(PROCESSORS_COLLECTION).order_by("name").get():
            agreement = stored.get("agreement")
            until = iso(agreement["expiresAt"]) if agreement else "none"
            table.add_row(stored.get("name"), stored.get("service"), until)
    output.show(table)


@app.command()
def add_missing() -> None:
    """Enter into the register each processor that it lacks, without an agreement."""
    with operator.platform(Settings, acts=True) as platform:
        common.confirm(platform, "enter each processor that the register lacks")
        seed(platform.db, platform.clock())
