"""`python -m local`: keeps the stack running, or fires one of its schedules."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from rich.console import Console
from rich.table import Table

from local.deployment import archives
from local.paths import MAIL, shown
from local.stack.progress import SetupError
from local.stack.schedules import ScheduleError
from local.stack.stack import EMULATORS, Stack, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from local.stack.run_folder import Source


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start the local stack and keep it running until Ctrl-C")
    up.add_argument("--archives", action="store_true", help="run what would be deployed instead of the checkout")
    up.add_argument("--only", default=",".join(EMULATORS), help="the emulators to start (default: %(default)s)")
    fire = verbs.add_parser("fire", help="fire one schedule of the running stack")
    fire.add_argument("name", help="the scheduled function's name")
    fire.add_argument("--at", type=_moment, help="as if it had been due then, such as 2031-01-01: a drill of the sweep")
    for verb in (up, fire):
        verb.add_argument("--offset", type=int, default=0, help="added to every port, for a second stack")
    chosen = parser.parse_args()
    try:
        if chosen.verb == "up":
            keep_up(tuple(chosen.only.split(",")), chosen.offset, archives.prepare() if chosen.archives else None)
        else:
            Stack(offset=chosen.offset).fire(chosen.name, chosen.at)
            print(f"fired {chosen.name}")
    except (StackError, ScheduleError, SetupError, httpx.HTTPError) as failure:
        print(f"local stack: {failure}", file=sys.stderr)
        return 1
    return 0


def keep_up(only: tuple[str, ...], offset: int, sources: Mapping[str, Source] | None) -> None:
    """Start the stack, say what runs where, and stay until Ctrl-C, SIGTERM or SIGHUP, or until a part of it dies."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, _leave)
    with Stack(only=only, offset=offset, sources=sources, keep_mail=True, say=print) as stack:
        console = Console()
        console.print(overview(stack))
        console.print(f"logs: {shown(stack.log_dir)}   mail: {shown(MAIL)}   Ctrl-C stops everything")
        announce(stack)
        stack.wait()


def announce(stack: Stack) -> None:
    """Let `astra --local` find the stack, by a file in its run folder, which goes with it and nobody else may read."""
    file = stack.run_dir / "up.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({**stack.environment(), "GOOGLE_CLOUD_PROJECT": stack.project}), encoding="utf-8")


def overview(stack: Stack) -> Table:
    """What runs where."""
    table = Table(title=f"Local stack of project {stack.project}")
    table.add_column("what")
    table.add_column("where")
    for name, port in stack.ports.items():
        scheme = {"redis": "redis", "smtp": "smtp", "firestore websocket": "ws"}.get(name, "http")
        table.add_row(name, f"{scheme}://127.0.0.1:{port}")
    if stack.schedules:
        table.add_row("a function", stack.function_url("NAME"))
        table.add_row("schedules", ", ".join(stack.schedules.names()) or "none")
    return table


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _leave(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not break off the stopping that the first one began.
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)
    print("\nstopping", flush=True)
    raise SystemExit(0 if number == signal.SIGINT else 128 + number)


if __name__ == "__main__":
    sys.exit(main())
