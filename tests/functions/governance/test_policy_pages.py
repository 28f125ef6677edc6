"""The policy's public page: every version, what became of it, and a text that hashes to what is said."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from flask import Request, Response
from werkzeug.test import EnvironBuilder

from astra import policies
from astra.runtime.platform import Platform
from governance.policy_pages import Block, blocks, policy_page
from local.stack import Stack

START = datetime(2026, 11, 1, tzinfo=UTC)
SOON, LATER = START + timedelta(days=20), START + timedelta(days=40)
TEXT = "Astra <b>Policy</b>\nLast updated: Nov 25, 2026\n1. One & two\n- <script>alert(1)</script>\n- ü\nA sentence."


def ask(platform: Platform[Any], path: str = "/", method: str = "GET", query: str = "", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    builder = EnvironBuilder(path=path, method=method, query_string=query, headers=named)
    return policy_page(platform, Request(builder.get_environ()))


def text_of(response: Response) -> str:
    return response.get_data(as_text=True)


@pytest.fixture
def versions(platform: Platform[Any], clock: Any) -> None:
    """One in force since 2025, one replaced by it, and others."""
    clock.now = START
    rows: list[tuple[str, policies.State, datetime | None, datetime]] = [
        ("2024-01-01", policies.State.PUBLISHED, datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)),
        ("2026-01-01", policies.State.WITHDRAWN, None, SOON),
        ("2026-02-01", policies.State.SUPERSEDED, None, SOON),
        ("2026-10-01", policies.State.PUBLISHED, SOON, SOON),
        ("2026-10-25", policies.State.ANNOUNCED, None, LATER),
    ]
    for version, state, effective_at, announced_for in rows:
        fields = policies.fields_of(version, TEXT, f"Of {version}.", START, announced_for, material=True)
        fields |= {"effectiveAt": effective_at, "state": state.value}
        platform.db.collection(policies.PUBLIC).document(version).set(fields)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("2024-01-01", "In force from 1 February 2024 to 2 August 2025."),
        ("2025-08-02", "In force since 2 August 2025."),
        ("2026-01-01", "Withdrawn: it never took effect"),
        ("2026-02-01", "Overtaken by a newer version"),
        ("2026-10-01", "Announced: takes effect on 21 November 2026."),
        ("2026-10-25", "Announced: takes effect on 11 December 2026, but not before everybody has been told."),
    ],
)
def test_each_version_says_what_it_is_and_what_became_of_it(
    platform: Platform[Any], versions: None, version: str, says: str
) -> None:
    for response in (ask(platform, f"/{version}"), ask(platform, query=f"version={version}")):
        page = text_of(response)
        assert (response.status_code, response.mimetype) == (200, "text/html")
        assert f"<dd>{says}" in page
        assert f"<dd>{version}</dd>" in page
        assert ("This is not the version in force." in page) is (version != policies.FIRST)
        stored = platform.db.document(f"policies/{version}").get()
        assert f"<code>{stored.get('sha256')}</code>" in page
        day = policies.dated(version)
        assert f'<time datetime="{day}">{day.day} {day:%B %Y}</time>' in page
        for other in ("2024-01-01", policies.FIRST, "2026-01-01", "2026-10-25"):
            assert f'href="?version={other}"' in page


def test_without_a_name_it_is_the_one_in_force_and_says_what_is_to_come(
    platform: Platform[Any], versions: None, clock: Any
) -> None:
    page = text_of(ask(platform))
    assert f"<dd>{policies.FIRST}</dd>" in page
    assert "What changes: Of 2026-10-01." in page
    assert "What changes: Of 2026-10-25." in page
    assert "Of 2026-01-01." not in page, "withdrawn"
    clock.now = SOON
    assert "<dd>2026-10-01</dd>" in text_of(ask(platform))


@pytest.mark.parametrize("version", ["2025-08-02", "2026-10-25"])
def test_the_text_alone_hashes_to_what_the_page_says(platform: Platform[Any], versions: None, version: str) -> None:
    stored = platform.db.document(f"policies/{version}").get()
    for response in (
        ask(platform, f"/{version}", query="format=txt"),
        ask(platform, f"/{version}", Accept="text/plain"),
    ):
        assert response.mimetype == "text/plain"
        assert hashlib.sha256(response.get_data()).hexdigest() == stored.get("sha256")
    for accept in ("text/html,*/*;q=0.8", "*/*", "text/plain;q=0.5, text/html"):
        assert ask(platform, f"/{version}", Accept=accept).mimetype == "text/html"
    assert ask(platform, f"/{version}", query="format=html", Accept="text/plain").mimetype == "text/html"


def test_what_looks_like_markup_is_text(platform: Platform[Any], versions: None) -> None:
    page = text_of(ask(platform, "/2026-10-01"))
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<li>&lt;script&gt;alert(1)&lt;/script&gt;</li>" in page
    assert "<h2>1. One &amp; two</h2>" in page
    assert "<h1>Astra &lt;b&gt;Policy&lt;/b&gt;</h1>" in page


def test_a_page_is_cached_and_asked_for_again_by_its_tag(platform: Platform[Any], versions: None) -> None:
    first = ask(platform, "/2026-10-01")
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "public, max-age=300"
    again = ask(platform, "/2026-10-01", If_None_Match=tag)
    assert again.status_code == 304
    assert ask(platform, "/2026-10-01", query="format=txt").headers["ETag"] != tag
    assert ask(platform, "/2026-10-25").headers["ETag"] != tag
    head = ask(platform, "/2026-10-01", method="HEAD")
    assert (head.status_code, head.headers["ETag"]) == (200, tag)
    for name in ("Content-Security-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "Vary"):
        assert again.headers[name] == first.headers[name]


@pytest.mark.parametrize("name", ["2020-01-01", "latest", "../users/ada", "__x__", "%2e%2e", "<script>", "a" * 200])
def test_what_there_is_not_is_a_404_that_says_what_there_is(platform: Platform[Any], versions: None, name: str) -> None:
    for response in (ask(platform, f"/{name}"), ask(platform, query=f"version={name}")):
        assert response.status_code == 404
        assert 'href="?version=2026-10-25"' in text_of(response)
        assert name not in text_of(response)
        assert response.headers["Cache-Control"] == "no-store"
    plain = ask(platform, f"/{name}", query="format=txt")
    assert (plain.status_code, "2025-08-02  In force since" in text_of(plain)) == (404, True)


def test_other_methods_and_failures_tell_nothing(platform: Platform[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ask(platform, method="POST")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert ask(platform, "/__/health").status_code == 404

    def fail(*_: Any, **__: Any) -> Any:
        raise LookupError("secret")

    monkeypatch.setattr(policies, "current", fail)
    response = ask(platform)
    assert (response.status_code, "secret" in text_of(response)) == (500, False)


def test_who_asks_too_often_waits(platform: Platform[Any]) -> None:
    answers = [ask(platform, "/__missing").status_code for _ in range(1)]
    answers += [ask(platform, X_Forwarded_For="203.0.113.9").status_code for _ in range(125)]
    assert (answers[0], answers[1], answers[-1]) == (404, 200, 429)


def test_headings_are_found_by_their_look() -> None:
    lines = ["Definitions", "For these:", "- one", "- two", "", "1. Security", "1.1 Model", "A text.", "Law", "x" * 90]
    assert blocks(lines) == [
        Block("h2", ("Definitions",)),
        Block("p", ("For these:",)),
        Block("ul", ("one", "two")),
        Block("h2", ("1. Security",)),
        Block("h3", ("1.1 Model",)),
        Block("p", ("A text.",)),
        Block("h4", ("Law",)),
        Block("p", ("x" * 90,)),
    ]


def test_it_is_there_for_everybody(stack: Stack) -> None:
    url = stack.function_url("policy_page")
    page = httpx.get(f"{url}/{policies.FIRST}", timeout=30)
    assert (page.status_code, "In force since 2 August 2025." in page.text) == (200, True)
    [said] = re.findall(r"<code>([0-9a-f]{64})</code>", page.text)
    text = httpx.get(url, params={"version": policies.FIRST, "format": "txt"}, timeout=30)
    assert hashlib.sha256(text.content).hexdigest() == said
    assert httpx.get(f"{url}/1999-01-01", timeout=30).status_code == 404
