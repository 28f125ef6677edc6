"""Registers: the record of processing (GDPR art. 30) and the processors, as pages.

Both are written from the data map and the table of processors, so that they can't say what code does not do, and, where
a project is named, from its registers: agreements with processors, versions of the policy, and business transfers.
Without a project they say that they lack these. The same code and the same registers write the same bytes: no time of
writing is in them.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import typer
from google.cloud import firestore

from astra import policies as astra_policies
from astra.datamap import table
from astra.datamap.model import Disposition, Entry, Store
from astra.datamap.table import DATA_MAP, NOT_PERSONAL
from astra.policies import FIRST, Policy
from astra.runtime import templates
from astra.runtime.settings import Settings
from cli import common, operator, output
from governance.processors import ELSEWHERE, PROCESSORS, PROCESSORS_COLLECTION, Processor
from governance.transfers import TRANSFERS

PAGES: Final = ("record-of-processing", "processors")
_STORES: Final = {
    Store.REPLICATE: "At Replicate",
    Store.STORAGE: "Cloud Storage",
    Store.REDIS: "Redis",
    Store.FIRESTORE: "Firestore",
    Store.VAULT: "Firestore, the database of wrapped keys",
    Store.AUTH: "Firebase Authentication",
}


@dataclass(frozen=True)
class Registers:
    """What a project's registers hold, in order."""

    project: str
    agreements: dict[str, dict[str, Any] | None]
    """By processor: {reference, expiresAt}, or None while there is none."""
    policies: list[Policy]
    transfers: list[dict[str, Any]]

    @classmethod
    def of(cls, db: firestore.Client) -> Self:
        """Reads them all; they are short."""
        processors = db.collection(PROCESSORS_COLLECTION).get()
        planned = db.collection(TRANSFERS).order_by("plannedAt").order_by("__name__").get()
        return cls(
            db.project,
            {stored.id: stored.get("agreement") for stored in processors},
            astra_policies.versions(db),
            [{**(stored.to_dict() or {}), "id": stored.id} for stored in planned],
        )


def write(folder: Path, registers: Registers | None = None) -> list[Path]:
    """Write all pages into `folder`. Answers where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PAGES:
        for ending in ("md", "html"):
            path = folder / f"{name}.{ending}"
            path.write_text(page(name, ending, registers=registers), encoding="utf-8", newline="\n")
            written.append(path)
    return written


def page(name: str, ending: str, entries: Iterable[Entry] = DATA_MAP, registers: Registers | None = None) -> str:
    """One page: of PAGES, as `md` or `html`."""
    environment = templates.environment("cli")
    environment.filters["cell"] = _cell
    facts = _facts(list(entries)) | {"registers": registers}
    return environment.get_template(f"{name}.{ending}.j2").render(facts).rstrip("\n") + "\n"


def _facts(entries: list[Entry]) -> dict[str, Any]:
    stores = {store: sorted((e for e in entries if e.store is store), key=lambda e: e.name) for store in Store}
    return {
        "policy": FIRST,
        "map_sha256": table.digest(),
        "stores": [(_STORES[store], found) for store, found in stores.items() if found],
        "not_personal": sorted(NOT_PERSONAL.items()),
        "processors": [(processor, _given(processor, entries)) for processor in PROCESSORS],
        "elsewhere": ELSEWHERE,
        "erasure": _erasure,
    }


def _given(processor: Processor, entries: list[Entry]) -> list[Entry]:
    return sorted((entry for entry in entries if processor.name in entry.recipients), key=lambda entry: entry.name)


def _erasure(entry: Entry) -> str:
    """What becomes of an entry when its person is erased."""
    match entry.disposition:
        case Disposition.DELETE:
            return "deleted"
        case Disposition.ANONYMISE:
            return f"anonymised: {entry.disposition_note}"
        case Disposition.RETAIN:
            return f"stays: {entry.disposition_note}"


def _cell(text: object) -> str:
    """Text that can't break out of a cell of a Markdown table."""
    return " ".join(str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


app = typer.Typer()


@app.command(name="write")
def write_pages(folder: Path) -> None:
    """Write each page, as Markdown and as HTML; with what a project's registers hold, if one is named."""
    stored = None
    if common.CHOSEN.project or os.environ.get("GOOGLE_CLOUD_PROJECT"):
        with operator.platform(Settings, acts=False) as platform:
            stored = Registers.of(platform.db)
    output.lines("file", write(folder, stored))
