"""The project's own source files, for tests that read them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from local.paths import ROOT
from local.stack import firebase_json

if TYPE_CHECKING:
    from pathlib import Path

SHARED: Final = sorted((ROOT / "shared/astra").rglob("*.py"))
CODEBASES: Final = {
    name: [ROOT / folder / "main.py", *sorted((ROOT / folder / name).rglob("*.py"))]
    for name, folder in firebase_json.codebases().items()
}
"""The files of each codebase, without what is installed or vendored beside them."""
DEPLOYED: Final = [*SHARED, *(path for paths in CODEBASES.values() for path in paths)]
CLI: Final = sorted((ROOT / "cli").rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the name by which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    named = parts[{"shared": 1, "functions": 2}.get(parts[0], 0) :]
    return ".".join(named).removesuffix(".__init__")


def imported_as(main: ast.Module) -> dict[str, str]:
    """Return the full name of each module, or member of one, by the name that a main.py gives it."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in main.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
