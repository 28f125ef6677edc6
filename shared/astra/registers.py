"""The record of processing activities (GDPR art. 30) and the list of processors, as pages for people.

Both are written from the data map and the table of processors and from nothing else, so that they can't say what code
does not do; the same code writes the same bytes, so that a change of either page is a change of the code.

`python -m astra.registers FOLDER` writes each as Markdown and as HTML.
"""

import argparse
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2

from astra import datamap
from astra.datamap import DATA_MAP, NOT_PERSONAL
from astra.entries import Disposition, Entry, Store
from astra.policy import FIRST
from astra.processors import ELSEWHERE, PROCESSORS, Processor

PAGES: Final = ("record-of-processing", "processors")
_CONTROLLER: Final = {"name": "Astra Engineers, Inc.", "contact": "privacy@astra-engineering.co"}
_STORES: Final = {
    Store.REPLICATE: "At Replicate",
    Store.STORAGE: "Cloud Storage",
    Store.REDIS: "Redis",
    Store.FIRESTORE: "Firestore",
    Store.VAULT: "Firestore, the database of wrapped keys",
    Store.AUTH: "Firebase Authentication",
}


def write(folder: Path) -> list[Path]:
    """Write all pages into `folder`. Answers where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PAGES:
        for ending in ("md", "html"):
            path = folder / f"{name}.{ending}"
            path.write_text(page(name, ending), encoding="utf-8", newline="\n")
            written.append(path)
    return written


def page(name: str, ending: str, entries: Iterable[Entry] = DATA_MAP) -> str:
    """One page: of PAGES, as `md` or `html`."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=ending == "html",  # noqa: S701  (Markdown is escaped by `cell`)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(f"{name}.{ending}.j2").render(_facts(list(entries)))


def _template(name: str) -> str:
    return resources.files("astra").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _facts(entries: list[Entry]) -> dict[str, Any]:
    stores = {store: sorted((e for e in entries if e.store is store), key=lambda e: e.name) for store in Store}
    return {
        "controller": _CONTROLLER,
        "policy": FIRST,
        "map_sha256": datamap.digest(),
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


def main() -> int:
    """Run the command of the command line; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m astra.registers", description="Write the registers as pages.")
    parser.add_argument("folder", type=Path)
    for path in write(parser.parse_args().folder):
        print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
