"""Output at a terminal: tables and lines, or JSON in their place."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from cli import common


class Table(RichTable):
    """A table that also keeps its rows as they were given."""

    def __init__(self, *columns: str) -> None:
        super().__init__(*columns)
        self.records: list[dict[str, Any]] = []
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
        print(json.dumps(what.records if isinstance(what, Table) else what))  # noqa: T201
    else:
        Console(soft_wrap=isinstance(what, str)).print(what, highlight=False)


def note(line: str) -> None:
    """Print a line beside the answer itself: to standard error if that is JSON, which it must not disturb."""
    print(line, file=sys.stderr if common.CHOSEN.as_json else sys.stdout)
