"""`make demo`: one person's whole life, as it happens. Exits 0 only if all of it held."""

import argparse
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from local.demo import script as story
from local.demo.client import CallError
from local.demo.narration import Broken
from local.stack.stack import Stack, StackError


class Narrator:
    """Prints the story and counts what held."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.held = self.broken = 0

    def chapter(self, title: str) -> None:
        """A heading."""
        self._console.print(f"\n[bold]{title}[/bold]")

    def saw(self, what: str, value: str) -> None:
        """Something to look at."""
        self._console.print(f"  {what}: [cyan]{value}[/cyan]", highlight=False, soft_wrap=True)

    def check(self, claim: str, held: bool) -> None:
        """One line for each claim."""
        if held:
            self.held += 1
            self._console.print(f"  [green]held  [/green] {claim}", soft_wrap=True)
        else:
            self.broken += 1
            self._console.print(f"  [bold red]BROKEN[/bold red] {claim}", soft_wrap=True)

    def certificate(self, certificate: dict[str, Any]) -> None:
        """The certificate as a table."""
        table = Table(title="Certificate of erasure", title_justify="left")
        for name in ("entry", "store", "found", "deleted", "retained", "remaining", "basis"):
            table.add_column(name, justify="left" if name in ("entry", "store", "basis") else "right")
        for line in certificate["stores"]:
            table.add_row(*(str(line.get(column.header, "")) for column in table.columns))
        self._console.print(table)
        for name in ("subject", "requestedAt", "verifiedAt", "policyVersion", "dataMapSha256"):
            self.saw(name, str(certificate[name]))
        self.saw("copies that outlive it", str(certificate["residual"] or "none"))


def main() -> int:
    """Tell the story; answer the exit code."""
    argparse.ArgumentParser(prog="python -m local.demo", description=__doc__).parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    narrator = Narrator(console)
    try:
        with Stack(say=console.print) as stack:
            os.environ.update(stack.environment())
            try:
                story.tell(stack, narrator)
            except (Broken, CallError) as failure:
                narrator.check(f"the story goes on: {failure}", held=False)
            except Exception:
                stack.check()  # a dead emulator says so in one line; anything else is a fault of ours
                raise
            stack.check()
    except StackError as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped", file=sys.stderr)
        return 130
    print(f"\ndemo: {narrator.held} held, {narrator.broken} broken")
    return 1 if narrator.broken else 0


if __name__ == "__main__":
    sys.exit(main())
