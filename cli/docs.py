"""Documentation written from the code: docs/settings.md, from the settings classes of all functions."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from astra.runtime.settings import Environment
from cli import output

_ROOT: Final = Path(__file__).parents[1]
DOCUMENT: Final = _ROOT / "docs/settings.md"
_HEAD: Final = """# Settings, for operators

Each setting is an environment variable of the functions. What is no secret stands in `settings/.env.PROJECT`
(`settings/.env.example` is a beginning); secrets live in Secret Manager, and each function gets those that it needs.
[Deployment](deploy.md) says when each is made. Values of a list or a table are JSON.

Written by `astra docs settings` from the settings classes; a test holds it current.

| variable | codebases | default | meaning |
| --- | --- | --- | --- |
"""


def groups() -> Iterator[tuple[str, type[Environment]]]:
    """Yield each codebase with the class of settings of each of its groups of functions."""
    for main in sorted((_ROOT / "functions").glob("*/main.py")):
        tree = ast.parse(main.read_text(encoding="utf-8"))
        home = {
            alias.name: node.module or ""
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Group":
                name = ast.unparse(node.args[1])
                yield main.parent.name, getattr(importlib.import_module(home[name]), name)


def _meanings(kind: type[Environment]) -> dict[str, str]:
    """Return what the docstring below each field says, of a class and of those that it is made of."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        if not issubclass(part, Environment):
            continue
        body = ast.parse(inspect.getsource(part)).body[0]
        for node, after in zip(body.body, body.body[1:], strict=False):  # type: ignore[attr-defined]
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[ast.unparse(node.target)] = " ".join(str(after.value.value).split())
    return found


def _default(kind: type[Environment], name: str) -> str:
    field = kind.model_fields[name]
    if name in kind.secret_fields():
        return "secret"
    if field.is_required():
        return "asked for"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as in the code"
    return "none" if value in (None, PydanticUndefined, (), {}) else f"`{value}`"


def written() -> str:
    """Return docs/settings.md as it should be."""
    rows: dict[str, tuple[set[str], str, str]] = {}
    for codebase, kind in groups():
        meanings = _meanings(kind)
        for name, field in kind.model_fields.items():
            meaning = meanings.get(name) or field.description or ""
            users, _, _ = rows.setdefault(kind.variable(name), (set(), _default(kind, name), meaning))
            users.add(codebase)
    everywhere = {codebase for codebase, _ in groups()}
    lines = [
        f"| `{variable}` | {'all' if users == everywhere else ', '.join(sorted(users))} | {default} | "
        f"{meaning.replace('|', chr(92) + '|')} |"
        for variable, (users, default, meaning) in sorted(rows.items())
    ]
    return _HEAD + "\n".join(lines) + "\n"


app = typer.Typer(add_completion=False, help="Pages that are written from the code.", no_args_is_help=True)


@app.callback()
def docs() -> None:
    """Pages that are written from the code."""


@app.command()
def settings() -> None:
    """Write docs/settings.md from the settings classes."""
    DOCUMENT.write_text(written(), encoding="utf-8")
    output.note(str(DOCUMENT.relative_to(_ROOT)))
