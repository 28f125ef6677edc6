"""Pages written from the code: docs/settings.md, and the architecture in README.md."""

import ast
import functools
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import typer
from pydantic import AnyUrl, BaseModel, HttpUrl, RedisDsn
from pydantic_core import PydanticUndefined

from astra.datamap.model import Store
from astra.runtime.settings import Environment
from breach.thresholds import Thresholds
from cli import output

_ROOT: Final = Path(__file__).parents[1]
DOCUMENT: Final = _ROOT / "docs/settings.md"
README: Final = _ROOT / "README.md"
_MARKS: Final = ("<!-- architecture: written by `astra docs architecture` -->", "<!-- /architecture -->")
#: What a codebase talks to, by the setting that says where it is; Redis, which most use, stands with the stores.
_SERVICES: Final = {
    "ASTRA_KMS_URI": "key service",
    "ASTRA_SMTP_URL": "SMTP server",
    "ASTRA_REPLICATE_URL": "Replicate",
    "ASTRA_LOGGING_URL": "Cloud Logging",
    "ASTRA_WITNESS_URL": "witness of the log",
}
_HEAD: Final = """# Settings, for operators

Each setting is an environment variable of the functions. What is no secret stands in `settings/.env.PROJECT`
(`settings/.env.example` is a beginning); secrets live in Secret Manager, and each function gets those that it needs.
[Deployment](deploy.md) says when each is made. Values of a list or a table are JSON.

Written by `astra docs settings` from the settings classes; a test holds it current.

| variable | codebases | kind | default | meaning |
| --- | --- | --- | --- | --- |
"""
_THRESHOLDS: Final = """
## Thresholds of the watch

`ASTRA_THRESHOLDS` is a JSON object with those of these fields that differ from their defaults.

| field | default | meaning |
| --- | --- | --- |
"""
_ELSEWHERE: Final = """
## Variables that no function reads

| variable | who reads it | meaning |
| --- | --- | --- |
| `ASTRA_OPERATOR` | `astra` | The account to act as; default: `operator@PROJECT.iam.gserviceaccount.com`. |
| `ASTRA_ID_TOKEN` | `astra erasure roll-call` | The ID token of the staff member who switches it. |
| `ASTRA_APP_CHECK_TOKEN` | `astra erasure roll-call` | An App Check token, where App Check is enforced. |
| `ASTRA_FUNCTIONS_URL` | `astra erasure roll-call` | Where functions answer; default: by project and region. |
| `ASTRA_REPLACE_RULES` | `firebase deploy` | SHA-256 of rules that may be lost: [deployment](deploy.md). |
| `ASTRA_LOCAL_REDIS_PORT`, `ASTRA_LOCAL_SMTP_PORT`, `ASTRA_LOCAL_REPLICATE_PORT`, `ASTRA_LOCAL_WITNESS_PORT`, \
`ASTRA_LOCAL_GOOGLE_PORT` | `make up`, tests | Ports of the local stack's servers, where the usual ones are taken. |
"""
_KINDS: Final[dict[Any, str]] = {
    int: "whole number",
    float: "number",
    str: "text",
    bytes: "32 bytes in base64",
    HttpUrl: "URL",
    AnyUrl: "URL",
    RedisDsn: "URL",
    tuple: "JSON list",
    dict: "JSON object",
}


@functools.cache
def groups() -> tuple[tuple[str, type[Environment]], ...]:
    """Return each codebase with the class of settings of each of its groups of functions."""
    found: list[tuple[str, type[Environment]]] = []
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
                found.append((main.parent.name, getattr(importlib.import_module(home[name]), name)))
    return tuple(found)


def _meanings(kind: type[BaseModel]) -> dict[str, str]:
    """Return what the docstring below each field says, of a class and of those that it is made of."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        if not issubclass(part, BaseModel) or part.__module__.startswith("pydantic"):
            continue
        body = ast.parse(inspect.getsource(part)).body[0]
        for node, after in zip(body.body, body.body[1:], strict=False):  # type: ignore[attr-defined]
            match node, after:
                case ast.AnnAssign(target=target), ast.Expr(value=ast.Constant(value=str(text))):
                    found[ast.unparse(target)] = " ".join(text.split())
    return found


def _kind(annotation: Any) -> str:
    """Return in words what values an annotation takes."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "JSON object"
    parts = [part for part in get_args(annotation) if part is not type(None)]
    known = get_origin(annotation) or annotation
    return _KINDS[known] if known in _KINDS else _kind(parts[0])


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
    rows: dict[str, tuple[set[str], str, str, str]] = {}
    for codebase, kind in groups():
        meanings = _meanings(kind)
        for name, field in kind.model_fields.items():
            meaning = meanings.get(name) or field.description or ""
            row = (set[str](), _kind(field.annotation), _default(kind, name), meaning)
            rows.setdefault(kind.variable(name), row)[0].add(codebase)
    everywhere = {codebase for codebase, _ in groups()}
    lines = [
        f"| `{variable}` | {'all' if users == everywhere else ', '.join(sorted(users))} | {kind} | {default} | "
        f"{meaning.replace('|', chr(92) + '|')} |\n"
        for variable, (users, kind, default, meaning) in sorted(rows.items())
    ]
    reasons = _meanings(Thresholds)
    thresholds = [
        f"| `{name}` | `{field.default}` | {reasons[name]} |\n" for name, field in Thresholds.model_fields.items()
    ]
    return "".join([_HEAD, *lines, _THRESHOLDS, *thresholds, _ELSEWHERE])


def drawn() -> str:
    """Return the picture of the architecture, as Mermaid: from the contracts of imports, the settings and the data map.

    Raises:
        StopIteration: pyproject.toml has no contract of the shared package's floors.
    """
    tools = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    floors = next(one["layers"] for one in tools["importlinter"]["contracts"] if one.get("containers") == ["astra"])
    talks = {codebase: set[str]() for codebase, _ in groups()}
    for codebase, kind in groups():
        talks[codebase] |= {_SERVICES[name] for name in map(kind.variable, kind.model_fields) if name in _SERVICES}
    lines = ["flowchart TB", '  cli["cli: staff command"] & app(["applications"]) --> functions']
    lines += ['  subgraph functions["functions/: codebases, each deployed by itself, none importing another"]']
    lines += ["    direction LR", *(f"    {codebase}" for codebase in talks), "  end"]
    lines += ["  functions --> floor0", '  subgraph astra["shared/astra: floors import downwards only"]']
    for number, floor in enumerate(floors):
        names = floor.split(" | ")
        lines.append(f'    subgraph floor{number}[" "]')
        lines += [f'      astra_{name}["{name}"]' for name in names]
        lines.append("    end")
    lines += [f"    floor{number} --> floor{number + 1}" for number in range(len(floors) - 1)]
    stores = " & ".join(f"{store.name.lower()}[({store.value})]" for store in Store if store is not Store.REPLICATE)
    lines += ["  end", f"  astra --> {stores}"]
    named = {service: re.sub(r"\W", "", service) for service in _SERVICES.values()}
    lines += [f"  {codebase} --> {named[one]}{{{{{one}}}}}" for codebase, all_ in talks.items() for one in sorted(all_)]
    return "\n".join((_MARKS[0], "", "```mermaid", *lines, "```", "", _MARKS[1]))


def with_picture(text: str) -> str:
    """Return README.md with the picture as it should be. Raises ValueError if it has no place for one."""
    head, begin, rest = text.partition("<!-- architecture")
    _, end, tail = rest.partition(_MARKS[1])
    if not begin or not end:
        raise ValueError(f"{README.name} has no place for the picture of the architecture")
    return head + drawn() + tail


app = typer.Typer()


@app.command()
def settings() -> None:
    """Write docs/settings.md from the settings classes."""
    DOCUMENT.write_text(written(), encoding="utf-8")
    output.lines("file", [DOCUMENT.relative_to(_ROOT)])


@app.command()
def architecture() -> None:
    """Write the picture of the architecture into README.md."""
    README.write_text(with_picture(README.read_text(encoding="utf-8")), encoding="utf-8")
    output.lines("file", [README.name])
