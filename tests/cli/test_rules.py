"""Which rules are recorded, and whether what is deployed can be told from them."""

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2.credentials import Credentials

from astra.runtime import log
from cli import operator, rules
from cli.__main__ import main
from cli.access import Google
from local.paths import ROOT
from tests.support.rules_api import PROJECT, TEXTS, RulesApi, git, ours

FILES = sorted(rules.RECORDED)


@pytest.mark.parametrize("file", FILES)
def test_what_is_recorded_is_the_file(file: str) -> None:
    found = rules.Rules.of(TEXTS[file])
    assert found == rules.RECORDED[file], f"raise the version in {file}, and record {found.sha256} in astra/rules.json"


@pytest.mark.parametrize("file", FILES)
def test_a_version_stands_for_one_text_in_all_of_the_history(file: str) -> None:
    texts = [TEXTS[file]]
    for commit in git("log", "--first-parent", "--format=%H", "--", file).split():
        texts += [git("show", f"{commit}:{file}")] if git("ls-tree", commit, "--", file) else []
    versions: dict[int | None, set[str]] = {}
    for found in map(rules.Rules.of, texts):
        versions.setdefault(found.version, set()).add(found.sha256)
    assert None not in versions
    assert [version for version, hashes in versions.items() if len(hashes) > 1] == []
    assert max(filter(None, versions)) == rules.RECORDED[file].version
    # A deployment replaces what is recorded without asking.
    assert {str(version): hashes for version, hashes in versions.items()}.items() <= {
        version: {sha256} for version, sha256 in rules.VERSIONS[file].items()
    }.items()


def test_every_rules_file_that_is_deployed_is_recorded() -> None:
    assert {path.name for path in ROOT.glob("*.rules")} == set(FILES)


def ask(
    monkeypatch: pytest.MonkeyPatch, released: dict[str, str], token: str | None = None, project: str | None = PROJECT
) -> int:
    for name in ("FUNCTIONS_EMULATOR", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    with RulesApi(released) as api:
        credentials = Credentials(token or api.token, quota_project_id=PROJECT)  # type: ignore[no-untyped-call]
        monkeypatch.setattr(google.auth, "default", lambda **_: (credentials, None))
        monkeypatch.setattr(operator, "GOOGLE", Google(rules=api.url, storage=api.url))
        monkeypatch.setattr(log, "install", lambda: None)
        return main(["rules", "check", *(["--project", project] if project else [])])


def test_what_is_deployed_is_recognised(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(monkeypatch, ours()) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in said] == list(ours())
    assert all(line.endswith(("is firestore.rules", "is storage.rules")) for line in said)


@pytest.mark.parametrize("release", ours())
def test_each_release_that_differs_or_is_missing_is_named(
    release: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = rules.Rules.of(ours()[release]).version
    older = ours() | {release: ours()[release].replace(f"// Rules version {version}", "// Rules version 1")}
    edited = ours() | {release: ours()[release] + "\n"}  # the same version: in the console, say
    missing = {name: text for name, text in ours().items() if name != release}
    for released, said in ((older, "version 1 ("), (edited, f"version {version} ("), (missing, "nothing DIFFERS")):
        assert ask(monkeypatch, released) == 1
        [line] = [line for line in capsys.readouterr().out.splitlines() if "DIFFERS" in line]
        assert line.startswith(f"{release}: {said}")


def test_the_command_says_who_may_not_ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(monkeypatch, ours(), token="somebody-else's") == 1
    assert "your Google credentials are not accepted any more" in capsys.readouterr().err


def test_the_command_says_which_project_and_credentials_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(monkeypatch, ours(), project=None) == 1
    assert "no project is named" in capsys.readouterr().err

    def refuse(scopes: list[str]) -> None:
        raise DefaultCredentialsError("log in first")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", refuse)
    assert main(["rules", "check", "--project", PROJECT]) == 1
    assert "run `gcloud auth application-default login`" in capsys.readouterr().err
