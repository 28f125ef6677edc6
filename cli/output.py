"""Tables and lines at a terminal. `rich` is imported when asked: staff's machines have it, functions do not."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table(*columns: str) -> "Table":
    """An empty table with these columns."""
    from rich.table import Table  # noqa: PLC0415

    return Table(*columns)


def show(what: object) -> None:
    """Print a table, or a line, which is not cut to the terminal's width."""
    from rich.console import Console  # noqa: PLC0415

    Console(soft_wrap=isinstance(what, str)).print(what, highlight=False)
