"""Common options of all verbs: which project, which output, and whether to ask before a change."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import typer

if TYPE_CHECKING:
    from cli.operator import Desk


RUNS: Final = Path(__file__).parents[1] / ".local/run"
"""Where the local stacks that `make up` keeps running leave their environment."""
_SWITCHES: Final = ("--local", "--json", "--yes")


@dataclass
class Common:
    """What was chosen for the verb that runs."""

    project: str | None = None
    as_json: bool = False
    yes: bool = False


CHOSEN: Final = Common()


class Failed(Exception):
    """One line for the person at the terminal: what went wrong, and what to do."""


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Put the common options first, wherever they stand: before the group, or after the verb."""
    common, rest, todo = list[str](), list[str](), list(arguments)
    while todo:
        argument = todo.pop(0)
        if argument == "--":
            rest += [argument, *todo]
            break
        if argument in _SWITCHES or argument.startswith("--project="):
            common.append(argument)
        elif argument == "--project" and todo:
            common += [argument, todo.pop(0)]
        else:
            rest.append(argument)
    return [*common, *rest]


def choose(project: str | None, *, local: bool, as_json: bool, yes: bool) -> None:
    """Take the common options. Raises Failed if the local stack is meant and does not run."""
    CHOSEN.project, CHOSEN.as_json, CHOSEN.yes = project, as_json, yes
    if local:
        os.environ.update(_running())


def _running() -> dict[str, str]:
    """Return the environment of the stack that was started last. Raises Failed if none runs."""
    for file in sorted(RUNS.glob("*/up.json"), key=lambda file: file.stat().st_mtime, reverse=True):
        environment: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        host = environment["FIRESTORE_EMULATOR_HOST"]
        with suppress(httpx.HTTPError):  # a stack that was killed leaves its file
            httpx.get(f"http://{host}/", timeout=5)
            return environment
    raise Failed("no local stack is running: start it with `make up`")


def confirm(platform: "Desk[Any]", what: str) -> None:
    """Name the project and the change, and ask. Raises Failed unless a person says yes, or `--yes` did."""
    if CHOSEN.yes:
        return
    if not sys.stdin.isatty():
        raise Failed(f"this changes the project {platform.project} ({what}): run it at a terminal, or add --yes")
    if not typer.confirm(f"Project {platform.project}: {what}. Go on?", err=True):
        raise Failed("nothing was changed")
