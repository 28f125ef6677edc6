"""Every host that code can call belongs to a processor of the register, or is nobody's by name and reason."""

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from astra.datamap.table import DATA_MAP
from astra.runtime.settings import RedisSettings, Settings
from governance import processors
from governance.processors import ELSEWHERE, PROCESSORS
from local.paths import ROOT
from tests.support import code

SOURCES = [*code.DEPLOYED, *code.CLI]
LISTED = [*PROCESSORS, *ELSEWHERE]
#: Libraries that call nobody by themselves; httpx and smtplib call what they are told, which the code must then name.
SILENT = {
    *(
        "_typeshed",
        "cachetools",
        "cryptography",
        "flask",
        "google_crc32c",
        "gunicorn",
        "httpx",
        "jinja2",
        "jwt",
        "PIL",
        "pillow_heif",
    ),
    *(
        "pydantic",
        "pydantic_settings",
        "requests",
        "rfc8785",
        "pydantic_core",
        "rich",
        "typer",
        "ua_parser",
        "werkzeug",
    ),
}
#: URLs with a host that is not written there, and why each is nobody else's.
HOSTLESS: dict[str, str] = {
    "f'http://{host}/'": "the local stack, on this machine",
    "f'https://{region}-{act.platform.app.project_id}.cloudfunctions.net/policy_page/{form.version}'": "in a letter",
    "f'https://{desk.settings.region}-{desk.project}.cloudfunctions.net'": "our own function, asked by a command",
    "f'run `gcloud storage buckets add-iam-policy-binding gs://{binding}`'": "told to a person",
}
#: A scheme, or any part that could be one, and a host in which something is filled in.
_OPEN = re.compile(r"(?:\b[a-z][a-z0-9+.-]*|\{\})://[^/\s]*\{\}")
_URL = re.compile(r"\b(?:https?|wss?)://([A-Za-z0-9.-]+\.[A-Za-z]{2,})")


def strings(tree: ast.AST) -> Iterator[str]:
    """The text in code that is no docstring: what a program can use."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def hosts(source: str) -> set[str]:
    return {found.lower() for text in strings(ast.parse(source)) for found in _URL.findall(text)}


def hostless(source: str) -> list[str]:
    """The URLs whose host is put together while the program runs."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            text = "".join(map(str, parts))
            if _OPEN.search(text):
                found.append(ast.unparse(node))
    return found


def libraries(source: str) -> set[str]:
    """The top packages that a module imports, but for Python's silent own."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    talking = {"ftplib", "http", "imaplib", "poplib", "smtplib", "socket", "telnetlib", "urllib", "xmlrpc"}
    return {name for name in found if name not in sys.stdlib_module_names or name in talking}


def belongs(host: str) -> bool:
    return any(fnmatch(host, pattern) for line in LISTED for pattern in line.hosts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_calls_only_hosts_that_are_listed(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    unlisted = sorted(host for host in hosts(source) if not belongs(host))
    assert unlisted == [], "name the processor in the policy, then list it in governance.processors"
    assert [text for text in hostless(source) if text not in HOSTLESS] == [], "write the host out, or say whose it is"
    known = SILENT | {library for line in LISTED for library in line.libraries}
    # These are parsers and enumerations, without a connection of their own.
    parsers = {"http", "urllib"}
    unheard_of = sorted(libraries(source) - known - parsers - {"astra", "cli", *code.CODEBASES})
    assert unheard_of == [], "say in governance.processors, or here, whom this library calls"


def test_the_parsers_are_used_for_nothing_else() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("http", "urllib"):
                assert {alias.name for alias in node.names} <= {"HTTPStatus"}, path
            if isinstance(node, ast.ImportFrom) and node.module in ("urllib.request", "http.client"):
                pytest.fail(f"{path} opens connections by itself")
            if isinstance(node, ast.Import):
                assert not {"urllib.request", "http.client"} & {alias.name for alias in node.names}, path


def test_every_setting_that_names_a_host_belongs_to_somebody() -> None:
    kinds, settings = [Settings], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        settings |= {name for name in kind.model_fields if name.endswith(("_url", "_uri", "_host"))}
    assert settings == {setting for line in LISTED for setting in line.settings} & settings
    assert {"redis_url", "replicate_url", "smtp_url", "kms_uri"} <= settings


def test_the_default_of_a_setting_is_its_processors() -> None:
    from erasure.settings import ErasureSettings  # noqa: PLC0415

    host = urlsplit(str(ErasureSettings.model_fields["replicate_url"].default)).hostname
    assert host == "api.replicate.com"
    assert RedisSettings.model_fields["redis_url"].is_required()


def test_the_search_finds_what_is_planted() -> None:
    planted = (
        '''"""See https://docs.example.com."""\nimport trackerkit, smtplib\nURL = "https://evil.example.net/x"\n'''
    )
    assert hosts(planted) == {"evil.example.net"}
    assert libraries(planted) == {"trackerkit", "smtplib"}
    assert not belongs("evil.example.net")
    for planted in ('f"https://{host}/x"', 'f"{scheme}://{host}"', 'f"wss://api.{region}.example.net/"'):
        assert hostless(planted)
    assert not hostless('f"https://api.replicate.com/{path}"')
    assert not belongs("googleapis.com.example.net")
    assert belongs("firestore.googleapis.com")


def test_the_list_is_the_policys() -> None:
    text = (ROOT / "shared/astra/policies/texts/2025-08-02.txt").read_text(encoding="utf-8")
    assert (
        processors.named_by(text)
        == [one.name for one in PROCESSORS]
        == ["Firebase", "Vercel", "Redis Cloud", "Replicate"]
    )
    with pytest.raises(ValueError, match="whom data is shared with"):
        processors.named_by("We keep it all to ourselves.")


def test_whoever_receives_data_is_listed() -> None:
    recipients = {name for entry in DATA_MAP for name in entry.recipients}
    assert recipients <= {one.name for one in PROCESSORS}
    for one in PROCESSORS:
        assert one.data_shared or one.also, one.name
