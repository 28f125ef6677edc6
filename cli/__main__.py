"""The staff command `astra`: groups, common options, and the boundary where errors become a line.

Exit codes: 0 done; 1 refused, failed or not as it should be, with one line that says why; 2 wrong usage.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cli import common

GROUPS: Final = (
    *("erasure", "retention", "breach", "notices", "tlog", "keys", "staff", "transfers"),
    *("policies", "processors", "registers", "rules", "honeytokens", "docs"),
)


class _Groups(TyperGroup):
    """Imports a group's module when the group is asked for: a verb loads what it needs itself."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return typer.main.get_command(importlib.import_module(f"cli.{cmd_name}").app) if cmd_name in GROUPS else None


app = typer.Typer(
    cls=_Groups,
    help="Look after the privacy functions of a project.",
    epilog="Exit codes: 0 done; 1 refused, failed, or not as it should be: a line says why; 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    project: Annotated[str | None, typer.Option(help="default: GOOGLE_CLOUD_PROJECT")] = None,
    *,
    local: Annotated[bool, typer.Option("--local", help="the local stack that `make up` keeps running")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of tables")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before a change")] = False,
) -> None:
    """Look after the privacy functions of a project.

    These options may also stand after the verb.
    """
    common.choose(project, local=local, as_json=as_json, yes=yes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code. No error that a person can mend becomes a traceback."""
    try:
        app(args=common.hoisted(sys.argv[1:] if arguments is None else arguments), prog_name="astra")
    except SystemExit as ended:
        if not isinstance(ended.code, str):
            return ended.code or 0
        said = ended.code
    except (LookupError, ValueError, common.Failed) as error:
        said = str(error)
    print(said, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
