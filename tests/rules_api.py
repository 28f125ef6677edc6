"""A stand-in for the Firebase Rules API, and for what firebase-tools asks on the way to it."""

import subprocess
from itertools import count

from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from cli import rules
from local.http_stand_in import HttpStandIn, answer
from local.paths import ROOT

PROJECT = "astra-p"
BUCKET = f"{PROJECT}.firebasestorage.app"
TEXTS = {file: (ROOT / file).read_text(encoding="utf-8") for file in rules.RECORDED}
_PAGE = 2


def git(*arguments: str) -> str:
    """What git prints, in this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


def ours() -> dict[str, str]:
    """What each release of a project must hold."""
    return {name: TEXTS[file] for name, file in rules.released_as(BUCKET).items()}


class RulesApi(HttpStandIn):
    """Answers in the documented shape; a list comes in pages."""

    def __init__(self, released: dict[str, str]) -> None:
        """`released`: the text of each release by its name; each is a ruleset of its own."""
        project = f"/projects/{PROJECT}"
        routes = [
            Rule(f"/v1{project}/releases", endpoint="releases"),
            Rule(f"/v1{project}/releases/<path:name>", endpoint="release"),
            Rule(f"/v1{project}/rulesets/<int:number>", endpoint="ruleset"),
            Rule(f"/v1{project}/services/<name>", endpoint="service"),
            Rule(f"/v1alpha{project}/defaultBucket", endpoint="default_bucket"),
        ]
        super().__init__(0, Map(routes))
        self._releases = [
            {
                "name": f"projects/{PROJECT}/releases/{name}",
                "rulesetName": f"projects/{PROJECT}/rulesets/{number}",
                "createTime": f"2026-11-0{number + 1}T00:00:00Z",
            }
            for number, name in zip(count(), released)
        ]
        self._texts = list(released.values())

    def releases(self, request: Request) -> Response:
        start = int(request.args.get("pageToken") or 0)
        more = {"nextPageToken": str(start + _PAGE)} if start + _PAGE < len(self._releases) else {}
        return answer({"releases": self._releases[start : start + _PAGE], **more})

    def release(self, _request: Request, name: str) -> Response:
        for release in self._releases:
            if release["name"] == f"projects/{PROJECT}/releases/{name}":
                return answer(release)
        raise NotFound

    def ruleset(self, _request: Request, number: int) -> Response:
        files = [{"name": "x.rules", "content": self._texts[number], "fingerprint": "…"}]
        return answer({"name": f"projects/{PROJECT}/rulesets/{number}", "source": {"files": files}})

    def service(self, _request: Request, name: str) -> Response:  # noqa: ARG002
        return answer({"state": "ENABLED"})

    def default_bucket(self, _request: Request) -> Response:
        return answer({"bucket": {"name": f"projects/{PROJECT}/buckets/{BUCKET}"}})
