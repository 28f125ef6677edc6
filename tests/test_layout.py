"""The layout: what is shared is shared, every file is in the graph of imports, and a main.py holds triggers alone.

The contracts of `[tool.importlinter]` in pyproject.toml say who may import whom; these tests hold that nothing is
outside of what the contracts look at.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

import grimp
import pytest

from local.paths import ROOT
from tests.support import code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PACKAGES: Final = ("astra", "cli", "local", *code.CODEBASES)
_FILES: Final = [
    *(path for path in code.DEPLOYED if path.name != "main.py"),
    *code.CLI,
    *sorted((ROOT / "local").rglob("*.py")),
]
#: Modules of the shared package that fewer than two codebases reach, and why they lie there all the same.
_ALONE: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("astra.vault", *(f"astra.vault.{name}" for name in ("cobblestone", "keys", "keywrap", "kms", "settings"))),
        "encryption is one thing, whoever seals: uploads today, and the staff command that rotates keys",
    ),
    "astra.tlog.receipts": "a receipt is part of the log's format, as verify.py reads it",
    "astra.runtime.webhooks": "a signature's format, for whatever service reports to us; notices hears mail servers",
    "astra.erasure.processor_mail": "what processors are to be asked when somebody writes to us; no function does yet",
}
#: What a main.py may import besides the shared package and its own.
_TRIGGERS: Final = {"base64", "datetime", "firebase_functions", "flask", "functools", "gunicorn", "typing"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*_PACKAGES)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of each module, or member of one, that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(graph: grimp.ImportGraph, main: Path) -> set[str]:
    """Return the modules that a process loads which serves a codebase."""
    names = {name for full in imported(ast.parse(main.read_text(encoding="utf-8"))) for name in prefixes(full)}
    todo, found = list(names & graph.modules), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [one for direct in graph.find_modules_directly_imported_by(name) for one in prefixes(direct)]
    return found


def prefixes(name: str) -> Iterator[str]:
    """Yield a module's name and those of the packages around it, which are imported with it."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def reaching(graph: grimp.ImportGraph, mains: dict[str, Path]) -> dict[str, set[str]]:
    """Return the codebases that reach each module of the shared package."""
    reach = {codebase: reached(graph, main) for codebase, main in mains.items()}
    return {
        name: {codebase for codebase, found in reach.items() if name in found}
        for name in graph.modules
        if name.startswith("astra.")
    }


def test_a_module_of_the_shared_package_is_reached_by_two_codebases(graph: grimp.ImportGraph) -> None:
    by = reaching(graph, {codebase: main for codebase, (main, *_) in code.CODEBASES.items()})
    alone = {name: sorted(codebases) for name, codebases in by.items() if len(codebases) < 2}
    assert alone.keys() == _ALONE.keys(), f"move it to the codebase that alone needs it: {alone}"


def test_a_module_that_one_codebase_reaches_would_be_found(graph: grimp.ImportGraph) -> None:
    only = {codebase: main for codebase, (main, *_) in code.CODEBASES.items() if codebase == "uploads"}
    assert {len(codebases) for codebases in reaching(graph, only).values()} == {0, 1}


def test_every_file_is_in_the_graph(graph: grimp.ImportGraph) -> None:
    """A folder without `__init__.py` would be in no contract, unseen."""
    outside = {code.module_of(path) for path in _FILES} - graph.modules
    assert outside == set(), "give its folder an __init__.py"
    folders = {path.parent for path in _FILES}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_contracts_know_every_codebase() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    quoted = ", ".join(f'"{codebase}"' for codebase in sorted(code.CODEBASES))
    assert f'root_packages = ["astra", "cli", "local", {quoted}]' in text
    assert text.count(f"modules = [{quoted}]") == 1, "the contract of independence"
    assert text.count(quoted) == 5, "in both contracts of what may not be imported, too"
    for codebase in code.CODEBASES:
        assert f'{codebase} = "functions/{codebase}/{codebase}"' in text


def misplaced(source: str, codebase: str) -> list[str]:
    """Return what a main.py holds that is not a trigger, an option, or an import that it may have."""
    found = []
    for node in ast.parse(source).body:
        match node:
            case ast.Expr(value=ast.Constant() | ast.Call()) | ast.Assign() | ast.AnnAssign():
                pass
            case ast.Import() | ast.ImportFrom():
                tops = {name.partition(".")[0] for name in imported(node)}
                found += sorted(tops - _TRIGGERS - {"astra", codebase})
            case ast.FunctionDef():
                if len(node.body) > 5 or not (node.decorator_list or node.returns):
                    found.append(node.name)
            case _:
                found.append(ast.unparse(node).partition("\n")[0])
    return found


@pytest.mark.parametrize("codebase", code.CODEBASES)
def test_a_main_holds_triggers_and_options(codebase: str) -> None:
    main, *_ = code.CODEBASES[codebase]
    assert misplaced(main.read_text(encoding="utf-8"), codebase) == []


@pytest.mark.parametrize(
    "source", ["import cli", "from erasure import cascade", "class Kind: ...", "if True:\n    x = 1", "import argparse"]
)
def test_what_does_not_belong_into_a_main_would_be_found(source: str) -> None:
    assert misplaced(source, "signup")


@pytest.mark.parametrize("path", [*_FILES, *(main for main, *_ in code.CODEBASES.values())], ids=code.module_of)
def test_a_modules_first_line_says_what_it_holds(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, _, rest = docstring.partition("\n")
    assert first.endswith((".", ":")), "one line, which ends there"
    assert len(first) <= 100, "as short as a heading"
    assert not rest or rest.startswith("\n"), "then an empty line"
    assert first.split()[0] not in {"What", "Who", "Whoever", "That", "Where", "Of", "Whose", "When", "How"}
