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

GROUPS: Final = {
    "erasure": "Erasures and the roll call.",
    "retention": "The retention sweep.",
    "breach": "Incidents and their deadlines.",
    "notices": "Campaigns of notices.",
    "tlog": "The transparency log.",
    "keys": "Users' keys, and the key that wraps them.",
    "staff": "Staff members and their roles.",
    "transfers": "Business transfers.",
    "policies": "Versions of the public and of the security policy.",
    "processors": "The register of processors.",
    "registers": "Records of processing and processors, as pages.",
    "rules": "Security rules.",
    "honeytokens": "Accounts that belong to no person, as bait for intruders.",
    "docs": "Pages that are written from the code.",
}


class _Group(TyperGroup):
    """A group that imports its module when one of its verbs is asked for, so that help comes at once."""

    @property
    def commands(self) -> dict[str, Any]:
        """The verbs of the module that bears the group's name."""
        return dict(typer.main.get_group(importlib.import_module(f"cli.{self.name}").app).commands)

    @commands.setter
    def commands(self, _: object) -> None:
        """Take no verbs from typer: it knows of none yet."""


app = typer.Typer(
    help="Look after the privacy functions of a project.",
    epilog="Exit codes: 0 done; 1 refused, failed, or not as it should be: a line says why; 2 wrong usage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _name, _help in GROUPS.items():
    app.add_typer(typer.Typer(cls=_Group, help=_help, no_args_is_help=True), name=_name)


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
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except (LookupError, ValueError, common.Failed) as error:
        said = str(error)
    print(said, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
