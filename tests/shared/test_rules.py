"""Which rules are recorded, and whether what is deployed can be told from them."""

import subprocess

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2.credentials import Credentials
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from astra import rules
from local.http_stand_in import HttpStandIn, answer
from local.paths import ROOT

FILES = sorted(rules.RECORDED)
TEXTS = {file: (ROOT / file).read_text(encoding="utf-8") for file in FILES}


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


@pytest.mark.parametrize("file", FILES)
def test_what_is_recorded_is_the_file(file: str) -> None:
    found = rules.Rules.of(TEXTS[file])
    assert found == rules.RECORDED[file], f"raise the version in {file} and in astra.rules, and record {found.sha256}"


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


def test_every_rules_file_that_is_deployed_is_recorded() -> None:
    assert {path.name for path in ROOT.glob("*.rules")} == set(FILES)


class RulesApi(HttpStandIn):
    """The two calls of the Firebase Rules API that the command makes, in the answers' documented shape."""

    def __init__(self, released: dict[str, str]) -> None:
        """`released`: the text of each release by its name; each is a ruleset of its own."""
        routes = [
            Rule("/v1/projects/astra-p/releases/<path:name>", endpoint="release"),
            Rule("/v1/projects/astra-p/rulesets/<int:number>", endpoint="ruleset"),
        ]
        super().__init__(0, Map(routes))
        self.released = released

    def release(self, _request: Request, name: str) -> Response:
        if name not in self.released:
            raise NotFound
        ruleset = f"projects/astra-p/rulesets/{list(self.released).index(name)}"
        return answer({"name": f"projects/astra-p/releases/{name}", "rulesetName": ruleset})

    def ruleset(self, _request: Request, number: int) -> Response:
        name = f"projects/astra-p/rulesets/{number}"
        files = [{"name": "x.rules", "content": [*self.released.values()][number], "fingerprint": "…"}]
        return answer({"name": name, "source": {"files": files}})


def ours() -> dict[str, str]:
    return {name: TEXTS[file] for name, file in rules.released_as("astra-p.appspot.com").items()}


def ask(
    monkeypatch: pytest.MonkeyPatch, released: dict[str, str], token: str | None = None, project: str | None = "astra-p"
) -> int:
    with RulesApi(released) as api:
        credentials = Credentials(token or api.token)  # type: ignore[no-untyped-call]
        monkeypatch.setattr(google.auth, "default", lambda **_: (credentials, project))
        return rules.main([], api.url)


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


def test_who_may_not_ask_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(monkeypatch, ours(), token="somebody-else's") == 1
    assert "can't ask for the rules: " in capsys.readouterr().err


def test_without_credentials_or_a_project_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ask(monkeypatch, ours(), project=None)
    assert "name the project" in capsys.readouterr().err

    def refuse(scopes: list[str]) -> None:
        raise DefaultCredentialsError("log in first")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", refuse)
    assert rules.main([]) == 1
    assert "log in first" in capsys.readouterr().err
