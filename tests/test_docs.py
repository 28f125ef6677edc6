"""The pages for people: links, commands and code blocks hold, and docs/api.md says what each function takes."""

import ast
import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel, RootModel

from astra.datamap.table import DATA_MAP
from cli.__main__ import app
from local.paths import ROOT
from tests.support.code import imported_as

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
MAINS = sorted((ROOT / "functions").glob("*/main.py"))
_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_BANNED = re.compile(r"(?i)\b(somebody|nobody|everybody|whoever|honey|letters?(?!,| or digit))\b")
_READER = re.compile(r"^# .+, (for|at) ")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """Return the text without its code, blocks and spans alike."""
    return _SPAN.sub("", _FENCE.sub("", text))


def _blocks(language: str) -> list[tuple[str, str]]:
    """Return the blocks of one language, each with its page."""
    pages = ((name, _FENCE.findall(_text(page))) for name, page in zip(NAMES, PAGES, strict=True))
    return [(name, code) for name, found in pages for kind, code in found if kind == language]


def _code() -> Iterator[tuple[str, str]]:
    """Yield every span and every line of a block that is code, with its page."""
    for name, page in zip(NAMES, PAGES, strict=True):
        text = _text(page)
        for _, code in _FENCE.findall(text):
            yield from ((name, line) for line in code.splitlines())
        yield from ((name, span) for span in _SPAN.findall(_FENCE.sub("", text)))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", _FENCE.sub("", _text(page))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def _broken(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", _text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{link}: there is no {target.relative_to(ROOT)}"
        elif anchor and anchor not in _anchors(target):
            yield f"{link}: {target.relative_to(ROOT)} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(_broken(page)) == []


@pytest.mark.parametrize("page", PAGES[1:], ids=NAMES[1:])
def test_a_page_says_first_whom_it_is_for_and_is_linked(page: Path) -> None:
    assert _READER.match(_text(page)), "the first heading is `# What, for whom`"
    others = [other for other in PAGES if other != page]
    linked = {
        (other.parent / link.partition("#")[0]).resolve() for other in others for link in _LINK.findall(_text(other))
    }
    assert page in linked, "no other page links to it"


def test_readme_is_one_screenful_or_three() -> None:
    assert len(_text(ROOT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_names_people_by_the_glossary(page: Path) -> None:
    assert _BANNED.findall(_prose(_text(page))) == []


def test_every_make_command_exists() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", _text(ROOT / "Makefile")))
    named = {(page, verb) for page, code in _code() for verb in re.findall(r"(?:^|\s)make ([a-z]+)", code)}
    assert len(named) > 5
    assert {one for one in named if one[1] not in targets} == set()


def test_every_module_that_is_run_exists() -> None:
    named = {(page, name) for page, code in _code() for name in re.findall(r"python -m ((?:local|bench)[.\w]*)", code)}
    assert len(named) > 3
    places = {(page, name): ROOT / name.replace(".", "/") for page, name in named}
    assert {
        one
        for one, place in places.items()
        if not (place.with_suffix(".py").exists() or (place / "__main__.py").exists())
    } == set()


def _misspelt(words: list[str]) -> str | None:
    """Return what of `astra GROUP VERB … --option` does not exist; None if all does."""
    command: Any = typer.main.get_command(app)
    known = {option for param in command.params for option in param.opts}
    for word in words:
        if hasattr(command, "list_commands"):
            if word not in command.list_commands(None) and not word.startswith("-"):
                return word
            command = command.get_command(None, word) or command
            known |= {option for param in command.params for option in param.opts}
        elif word.startswith("--") and word.partition("=")[0] not in known:
            return word
    return None


def test_every_staff_command_exists() -> None:
    named = {(page, said) for page, code in _code() for said in re.findall(r"(?:^|[ /])astra ([a-z][^#|]*)", code)}
    assert len(named) > 30
    assert {one for one in named if _misspelt(one[1].split())} == set()
    assert [page for page, code in _code() if re.search(r"python -m astra\b", code)] == []


@pytest.mark.parametrize(("page", "code"), _blocks("sh"))
def test_a_block_of_shell_parses(page: str, code: str) -> None:
    parsed = subprocess.run(["sh", "-n"], input=code, capture_output=True, text=True, check=False)  # noqa: S607
    assert parsed.returncode == 0, parsed.stderr


@pytest.mark.parametrize(("page", "code"), _blocks("python"))
def test_a_block_of_python_parses(page: str, code: str) -> None:
    ast.parse(code)


@pytest.mark.parametrize(("page", "code"), _blocks("json"))
def test_a_block_of_json_parses(page: str, code: str) -> None:
    json.loads(code)


def test_every_block_of_javascript_parses() -> None:
    blocks = [code for _, code in _blocks("js")]
    assert len(blocks) > 30
    script = "for (const code of JSON.parse(require('fs').readFileSync(0))) new (require('vm').SourceTextModule)(code)"
    command = ["node", "--no-warnings", "--experimental-vm-modules", "-e", script]
    parsed = subprocess.run(command, input=json.dumps(blocks), capture_output=True, text=True, check=False)  # noqa: S603
    assert parsed.returncode == 0, parsed.stderr


@pytest.mark.parametrize("codebase", [main.parent for main in MAINS], ids=lambda path: path.name)
def test_the_architecture_names_every_module_of_a_codebase(codebase: Path) -> None:
    row, *_ = re.findall(rf"(?m)^\| `{codebase.name}` \| (.+)$", _text(ROOT / "docs/architecture.md"))
    modules = {path.stem for path in (codebase / codebase.name).rglob("*.py")} - {"__init__", "settings"}
    assert modules - set(_SPAN.findall(row)) == set()


# docs/api.md beside the code: what is called, what it takes, and how often.


class Function:
    """One callable or HTTP function of a `main.py`, read off its decorators."""

    def __init__(self, main: Path, node: ast.FunctionDef, call: ast.Call) -> None:
        self.codebase, self.name, self._call = main.parent.name, node.name, call
        self._tree = ast.parse(_text(main))

    @property
    def model(self) -> type[BaseModel]:
        """The request's class, imported as `main.py` imports it."""
        shape = self._call.args[1]
        assert isinstance(shape, ast.Attribute)
        assert isinstance(shape.value, ast.Name)
        found: type[BaseModel] = getattr(importlib.import_module(imported_as(self._tree)[shape.value.id]), shape.attr)
        return found

    @property
    def a_minute(self) -> int:
        """How often a caller may call it."""
        limit = self._call.args[2]
        if isinstance(limit, ast.Name):
            assigned = [node.value for node in self._tree.body if isinstance(node, ast.Assign) and _is(node, limit.id)]
            [limit] = assigned
        assert isinstance(limit, ast.Call)
        return int(ast.literal_eval(limit.args[0]))


def _is(node: ast.Assign, name: str) -> bool:
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id == name


def _functions(kind: str) -> dict[str, Function]:
    found = {}
    for main in MAINS:
        for node in ast.parse(_text(main)).body:
            calls = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            for call in calls:
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == kind:
                    assert isinstance(node, ast.FunctionDef)
                    found[node.name] = Function(main, node, call)
    return found


CALLABLES, ENDPOINTS = _functions("on_call"), _functions("on_request")
SECTIONS = dict(re.findall(r"(?ms)^### `(\w+)`\n(.*?)(?=^#{1,3} |\Z)", API))


def _rows(section: str, header: str) -> dict[str, list[str]]:
    """Return the rows of a section's table, by the name in the first cell."""
    [table] = re.findall(rf"(?m)^\| {header} \|.*\n\|[ -|]*\n((?:\|.*\n)*)", section)
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    return {row[0].strip("` "): row[1:] for row in cells}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _fields(model: type[BaseModel]) -> dict[str, bool]:
    """Return the request's fields and whether each is required; those of an object by `object.field`."""
    found = {}
    for name, field in model.model_fields.items():
        found[name] = field.is_required()
        for inner in _models(field.annotation):
            found |= {f"{name}.{one}": inner.model_fields[one].is_required() for one in inner.model_fields}
    return found


def test_every_function_that_applications_call_has_a_heading_and_nothing_else_has() -> None:
    assert sorted(SECTIONS) == sorted({**CALLABLES, **ENDPOINTS})


@pytest.mark.parametrize("name", [*CALLABLES, *ENDPOINTS])
def test_a_function_is_said_to_be_in_its_codebase(name: str) -> None:
    function = {**CALLABLES, **ENDPOINTS}[name]
    [codebase] = re.findall(r"in `(\w+)`\.\s(?:Sign-in|Signed)", SECTIONS[name])
    assert codebase == function.codebase


@pytest.mark.parametrize("name", CALLABLES)
def test_a_callables_fields_are_those_of_its_request(name: str) -> None:
    model, rows = CALLABLES[name].model, _rows(SECTIONS[name], "field")
    if issubclass(model, RootModel):  # one of several forms
        forms = [
            form
            for form in _models(model.model_fields["root"].annotation)
            if {"event", "events"} & {*form.model_fields}
        ]
        assert set(rows) == {field for form in forms for field in form.model_fields}
        return
    required = {field: row[1] == "yes" or row[1].startswith("with ") for field, row in rows.items()}
    assert required == _fields(model)


@pytest.mark.parametrize("name", CALLABLES)
def test_a_callables_limit_is_the_one_that_is_counted(name: str) -> None:
    [said] = re.findall(r"Limit:\s(\d+)\sa\sminute", SECTIONS[name])
    assert int(said) == CALLABLES[name].a_minute


@pytest.mark.parametrize("name", [*CALLABLES, *ENDPOINTS])
def test_a_function_has_an_example_to_copy(name: str) -> None:
    languages = {language for language, _ in _FENCE.findall(SECTIONS[name])}
    signing_up = name == "start_signup"  # whose example is that of the whole sign-up, above it
    assert languages & {"js", "sh", "python"} or signing_up


def test_the_events_and_their_properties_are_those_that_are_logged() -> None:
    events = sys.modules[CALLABLES["log_event"].model.__module__]
    real = {}
    for kind in {form for form in _models(events.Event) if "event" in form.model_fields}:
        [name] = get_args(kind.model_fields["event"].annotation)
        [props] = _models(kind.model_fields["props"].annotation)
        real[name] = set(props.model_fields)
    rows = _rows(SECTIONS["log_event"], "event")
    assert {event: set(re.findall(r"`(\w+)` \(", row[0])) for event, row in rows.items()} == real


def test_what_an_owner_may_read_is_what_the_data_map_says() -> None:
    section = API.partition("## Read your own data directly")[2]
    said = {row[0].strip("`"): tuple(row[1].rstrip(" |").split(", ")) for row in _rows(section, "place").values()}
    assert said == {entry.name: entry.owner_may for entry in DATA_MAP if entry.owner_may}
