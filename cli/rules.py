"""Security rules: which belong to this code, and whether a project has them.

It asks the Firebase Rules API what is released for both databases and the bucket. It has only ever met a local server
that speaks this API, never Google's.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Final

import typer
from google.auth.transport.requests import AuthorizedSession

from astra.runtime.settings import Settings
from cli import operator, output

_TIMEOUT: Final = 30  # seconds


@dataclass(frozen=True)
class Rules:
    """One text of rules: the version that it names, and the SHA-256 of its bytes in hex."""

    version: int | None
    sha256: str

    @classmethod
    def of(cls, text: str) -> "Rules":
        """The rules whose source is `text`."""
        named = re.search(r"^// Rules version (\d+)\b", text, re.MULTILINE)
        return cls(int(named[1]) if named else None, hashlib.sha256(text.encode()).hexdigest())

    def __str__(self) -> str:
        return f"version {self.version or '?'} ({self.sha256[:12]})"


VERSIONS: Final[dict[str, dict[str, str]]] = json.loads(
    resources.files("astra").joinpath("rules.json").read_text(encoding="utf-8")
)
"""The SHA-256 of each version of each rules file. A version stands for one text for good: a change raises it."""
RECORDED: Final = {
    file: Rules(newest, hashes[str(newest)]) for file, hashes in VERSIONS.items() if (newest := max(map(int, hashes)))
}
"""The rules of this repository: of each file the newest version."""


def released_as(bucket: str) -> dict[str, str]:
    """The releases of a project, each with the file that it must hold. What has no release has no rules of ours."""
    return {
        "cloud.firestore": "firestore.rules",
        "cloud.firestore/vault": "firestore.rules",
        f"firebase.storage/{bucket}": "storage.rules",
    }


def deployed(session: AuthorizedSession, project: str, release: str, api: str) -> Rules | None:
    """What is released under a name, or None if nothing is. Raises RequestException if the API can't be asked."""
    answer = session.get(f"{api}/v1/projects/{project}/releases/{release}", timeout=_TIMEOUT)
    if answer.status_code == 404:  # noqa: PLR2004
        return None
    answer.raise_for_status()
    ruleset = session.get(f"{api}/v1/{answer.json()['rulesetName']}", timeout=_TIMEOUT)
    ruleset.raise_for_status()
    # Ours are of one file; others may be of several, which is a difference and no reason to fail.
    return Rules.of("".join(file["content"] for file in ruleset.json()["source"]["files"]))


def compare(session: AuthorizedSession, project: str, bucket: str, api: str) -> Iterator[tuple[bool, str]]:
    """For each release: whether it is this repository's, and a line that says so."""
    for release, file in released_as(bucket).items():
        found, recorded = deployed(session, project, release, api), RECORDED[file]
        same = found == recorded
        verdict = f"is {file}" if same else f"DIFFERS from {file}, {recorded}: deploy it"
        yield same, f"{release}: {found or 'nothing'} {verdict}"


app = typer.Typer()


@app.command()
def check(bucket: Annotated[str | None, typer.Option(help="default: the project's default bucket")] = None) -> None:
    """Compare a project's security rules with this repository's."""
    with operator.platform(Settings, acts=False) as desk:
        found = list(compare(desk.session, desk.project, bucket or desk.default_bucket, desk.google.rules))
    output.lines("release", (line for _, line in found))
    if not all(same for same, _ in found):
        raise typer.Exit(1)
