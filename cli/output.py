"""Output at a terminal: tables and lines, or JSON in their place."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from cli import common


class Table(RichTable):
    """A table that also keeps its rows as they were given."""

    def __init__(self, *columns: str) -> None:
        super().__init__(*columns)
        self.facts: dict[str, str] = {}
        """What holds for the whole: the title at a terminal."""
        self.records: list[dict[str, str]] = []
        self._names = columns

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, for both kinds of output."""
        super().add_row(*cells, **options)
        named = zip(self._names, cells, strict=False)
        self.records.append({name: cell for name, cell in named if name and isinstance(cell, str)})


def table(*columns: str) -> Table:
    """Return an empty table with these columns."""
    return Table(*columns)


def show(what: object) -> None:
    """Print a table, or a line, which is not cut to the terminal's width."""
    if common.CHOSEN.as_json:
        print(json.dumps(_plain(what)))  # noqa: T201
        return
    if isinstance(what, Table) and what.facts:
        what.title = ", ".join(f"{name} {fact}".removeprefix("state ") for name, fact in what.facts.items())
    Console(soft_wrap=isinstance(what, str)).print(what, highlight=False)


def parts(**named: Table | str) -> None:
    """Print tables and lines one after the other, without tables that are empty; or one JSON object of them all."""
    if common.CHOSEN.as_json:
        print(json.dumps({name: _plain(part) for name, part in named.items()}))  # noqa: T201
        return
    for part in named.values():
        if isinstance(part, str):
            print(part)  # noqa: T201
        elif part.records:
            show(part)


def lines(name: str, values: Iterable[object]) -> None:
    """Print one value a line, or JSON rows of the one field `name`."""
    if common.CHOSEN.as_json:
        print(json.dumps([{name: str(value)} for value in values]))  # noqa: T201
        return
    for value in values:
        print(value)  # noqa: T201


def note(line: str) -> None:
    """Print a line beside the answer itself: to standard error if that is JSON, which it must not disturb."""
    print(line, file=sys.stderr if common.CHOSEN.as_json else sys.stdout)


def _plain(what: object) -> object:
    if isinstance(what, Table):
        return {**what.facts, "rows": what.records} if what.facts else what.records
    return what
