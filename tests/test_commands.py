"""The commands for staff and deployers: none changes anything until a verb says what to do."""

import ast
import io
import json
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer
from google.cloud import firestore

from astra.runtime import log
from astra.runtime.settings import Settings
from cli import common, output
from cli.__main__ import GROUPS, app, main
from cli.operator import GOOGLE, Desk
from local.demo.scan import DATABASES, documents
from local.paths import ROOT
from local.stack.stack import Stack

APP: Any = typer.main.get_command(app)
#: Every verb of the staff command, as its own help lists them.
VERBS = [(group, verb) for group in APP.commands for verb in APP.commands[group].commands]
#: Verbs that need no project: they write pages of the repository.
OFFLINE = {("docs", "settings"), ("docs", "architecture")}
#: Nothing answers here: to touch any store but Firestore is a failure.
ELSEWHERE = "127.0.0.1:9"


def run(command: str, arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", command, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["no-such-verb"]], ids=["nothing", "help", "unknown"])
def test_a_group_without_a_verb_writes_nothing(stack: Stack, tmp_path: Path, arguments: list[str]) -> None:
    project = f"demo-{secrets.token_hex(6)}"
    environment = {"GOOGLE_CLOUD_PROJECT": project, "NO_GCE_CHECK": "true"}
    environment["FIRESTORE_EMULATOR_HOST"] = stack.environment()["FIRESTORE_EMULATOR_HOST"]
    if not arguments:
        away = {"ASTRA_REDIS_URL": f"redis://{ELSEWHERE}/0", "STORAGE_EMULATOR_HOST": f"http://{ELSEWHERE}"}
        away |= {"FIREBASE_AUTH_EMULATOR_HOST": ELSEWHERE, "FIREBASE_CONFIG": f'{{"projectId": "{project}"}}'}
        environment = {**stack.environment(), **environment, **away}

    with ThreadPoolExecutor(os.cpu_count()) as hands:
        ended = list(hands.map(lambda group: run("cli", [group, *arguments], tmp_path, **environment), GROUPS))

    for database in DATABASES:
        assert list(documents(firestore.Client(project=project, database=database))) == [], database
    assert list(tmp_path.iterdir()) == []
    for group, done in zip(GROUPS, ended, strict=True):
        if arguments == ["--help"]:
            assert done.returncode == 0, f"{group}: {done.stderr}"
            assert f"Usage: astra {group}" in done.stdout, done.stdout
        else:
            assert done.returncode == 2, f"{group}: {done.stdout}{done.stderr}"
            assert f"Usage: astra {group}" in done.stdout + done.stderr


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_explains_itself_without_a_project(
    verb: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    monkeypatch.setattr("cli.operator.platform", lambda *_, **__: pytest.fail("help asks nobody"))
    assert main([*verb, "--help"]) == 0
    assert f"Usage: astra {' '.join(verb)}" in capsys.readouterr().out


def values(group: str, verb: str) -> list[str]:
    """A value for each argument that a verb can't do without."""
    command = APP.commands[group].commands[verb]
    known = {"clock": "gdpr-authority", "phase": "initial", "kind": "policy-change", "first": "2026-01-01"}
    known |= {"last": "2026-01-02"}
    return [known.get(str(argument.name), "x") for argument in command.params if argument.required]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in OFFLINE], ids=" ".join)
def test_a_verb_without_a_project_says_so_in_one_line(
    verb: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("GOOGLE_CLOUD_PROJECT", "FUNCTIONS_EMULATOR", "FIRESTORE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(log, "install", lambda: None)
    code = main([*verb, *values(*verb), "--yes"])
    printed = capsys.readouterr()
    if verb in {("registers", "write"), ("notices", "preview")}:  # these need none
        assert "Traceback" not in printed.err
        return
    assert code == 1
    assert printed.err.count("\n") == 1, printed.err
    assert "--project" in printed.err


def test_what_changes_something_asks_first_and_refuses_where_nobody_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    desk = Desk(Settings, "astra-p", GOOGLE, acts=True)
    monkeypatch.setattr(common.CHOSEN, "yes", False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(common.Failed, match=r"changes the project astra-p \(a thing\): .* add --yes"):
        common.confirm(desk, "a thing")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question) or False)
    with pytest.raises(common.Failed, match="nothing was changed"):
        common.confirm(desk, "a thing")
    assert asked == ["Project astra-p: a thing. Go on?"]
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: True)
    common.confirm(desk, "a thing")


@pytest.fixture
def nothing_there(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A project of the emulators in which nothing is stored; return its id."""
    project = f"demo-{secrets.token_hex(6)}"
    for name, value in stack.environment().items():
        if name.startswith(("ASTRA_", "FIRE", "STORAGE_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("FUNCTIONS_EMULATOR", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    monkeypatch.setattr(log, "install", lambda: None)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    return project


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in OFFLINE], ids=" ".join)
def test_a_verb_that_is_not_told_to_go_on_stores_nothing_and_speaks_json(
    verb: tuple[str, str], nothing_there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*verb, *values(*verb), "--json"])
    printed = capsys.readouterr()
    for database in DATABASES:
        assert list(documents(firestore.Client(project=nothing_there, database=database))) == [], database
    assert printed.out or printed.err, "it says nothing"
    if printed.out:
        json.loads(printed.out)
    if code and not printed.out:  # of a check that failed, the answer says what is wrong
        assert printed.err.count("\n") == 1, printed.err


@pytest.mark.parametrize("verb", [("policies", "publish-first"), ("processors", "add-missing"), ("keys", "rotate")])
def test_a_change_that_nobody_confirmed_is_refused(
    verb: tuple[str, str], nothing_there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(verb)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"this changes the project {nothing_there} (")
    assert "add --yes" in said


def test_the_roll_call_is_not_switched_unless_confirmed(
    nothing_there: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASTRA_ID_TOKEN", "token")
    monkeypatch.setenv("ASTRA_FUNCTIONS_URL", f"http://{ELSEWHERE}")
    assert main(["erasure", "roll-call", "disable"]) == 1
    assert f"this changes the project {nothing_there} (switch the roll call off)" in capsys.readouterr().err


def test_help_imports_no_client_and_names_each_group(tmp_path: Path) -> None:
    script = "import sys; from cli.__main__ import main; main(['--help']); print(sorted(sys.modules))"
    done = run("cli", ["--help"], tmp_path)
    assert [group for group in GROUPS if f" {group} " not in done.stdout] == []
    loaded = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]
    assert "'cli.common'" in loaded
    assert [
        name for name in ("google.cloud.firestore", "google.auth", "astra.runtime", *GROUPS) if f"'{name}'" in loaded
    ] == []


@pytest.mark.parametrize(("words", "offered"), [(["ho"], "honeytokens"), (["erasure", "re"], "retry")])
def test_the_shell_completes_groups_and_verbs(tmp_path: Path, words: list[str], offered: str) -> None:
    typed = {"COMP_WORDS": " ".join(["astra", *words]), "COMP_CWORD": str(len(words))}
    done = run("cli", [], tmp_path, _ASTRA_COMPLETE="complete_bash", **typed)
    assert done.stdout.split() == [offered], done.stderr


def test_a_file_that_is_not_there_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    (tmp_path / "file").touch()
    assert main(["registers", "write", str(tmp_path / "file/pages")]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/file/pages: Not a directory\n"


@pytest.mark.parametrize(
    "arguments", [["--project", "p", "--json", "a", "b"], ["a", "--json", "b", "--project", "p"]], ids=["first", "last"]
)
def test_the_common_options_may_stand_anywhere(arguments: list[str]) -> None:
    assert sorted(common.hoisted(arguments)[:3]) == ["--json", "--project", "p"]
    assert common.hoisted(arguments)[3:] == ["a", "b"]
    assert common.hoisted(["a", "--", "--json"]) == ["a", "--", "--json"]


def test_several_parts_are_one_json_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(common.CHOSEN, "as_json", True)
    table = output.table("entry")
    table.facts = {"state": "running"}
    table.add_row("events")
    output.parts(state="on", jobs=table)
    output.lines("file", [Path("a"), Path("b")])
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {"state": "on", "jobs": {"state": "running", "rows": [{"entry": "events"}]}}
    assert json.loads(second) == [{"file": "a"}, {"file": "b"}]


def test_whatever_acts_asks() -> None:
    """A verb that opens the project to change it confirms that, but for those that only need a secret to look."""
    looking = {"preview", "verify", "export", "key"}
    for group in GROUPS:
        tree = ast.parse((ROOT / f"cli/{group}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and "acts=True" in (text := ast.unparse(node)):
                assert "common.confirm(" in text or "_recovered(" in text or node.name in looking, (group, node.name)


def test_the_local_stack_is_named_or_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "RUNS", tmp_path)
    assert main(["staff", "list", "--local"]) == 1
    assert capsys.readouterr().err == "no local stack is running: start it with `make up`\n"
    file = tmp_path / "killed/up.json"  # whose stack had no time to remove it
    file.parent.mkdir()
    file.write_text(json.dumps({"FIRESTORE_EMULATOR_HOST": ELSEWHERE}))
    assert main(["--local", "staff", "list"]) == 1
    assert capsys.readouterr().err == "no local stack is running: start it with `make up`\n"


def test_json_takes_the_place_of_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(common.CHOSEN, "as_json", True)
    table = output.table("entry", "due")
    table.add_row("events", "3")
    output.show(table)
    assert json.loads(capsys.readouterr().out) == [{"entry": "events", "due": "3"}]


@pytest.mark.parametrize(
    "program", ["shared/vendor.py", "verify.py", "local/deployment/lock.py", "local/setup.py", "local/demo/__main__.py"]
)
def test_a_program_of_the_repository_explains_itself_and_does_nothing(tmp_path: Path, program: str) -> None:
    command = program.removesuffix(".py").replace("/", ".")
    for arguments, code in ((["--help"], 0), (["--no-such-option"], 2)):
        done = run(command, arguments, tmp_path)
        assert done.returncode == code, done.stderr
        assert "usage: " in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
