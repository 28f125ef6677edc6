"""The pages say what the code does, the same each time."""

import dataclasses
import hashlib
import os
import re
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.cloud import firestore

from astra import policies
from astra.datamap.table import DATA_MAP
from cli import policies as policies_command
from cli import processors, registers
from governance.processors import PROCESSORS
from local.stack.stack import Stack

PAGES = [(name, ending) for name in registers.PAGES for ending in ("md", "html")]


@pytest.mark.parametrize(("name", "ending"), PAGES)
def test_the_same_code_writes_the_same_bytes(tmp_path: Path, name: str, ending: str) -> None:
    written = []
    for seed in ("1", "2"):  # another order of everything that has none
        folder = tmp_path / seed
        command = [sys.executable, "-m", "cli", "registers", "write", str(folder)]
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, check=True, timeout=60, capture_output=True)  # noqa: S603
        written.append(hashlib.sha256((folder / f"{name}.{ending}").read_bytes()).hexdigest())
    assert written[0] == written[1]


@pytest.mark.parametrize("ending", ["md", "html"])
def test_the_record_has_a_line_for_every_entry_and_all_that_article_30_asks_for(ending: str) -> None:
    text = registers.page("record-of-processing", ending)
    for entry in DATA_MAP:
        assert len(re.findall(rf"(\| |<h3>){entry.name}( \||</h3>)", text)) == 1, entry.name
        for said in (entry.purpose, str(entry.lawful_basis), entry.retention, *entry.recipients):
            plain = said.replace("'", "&#39;") if ending == "html" else said
            assert plain in text, entry.name
    assert "privacy@astra-engineering.co" in text


@pytest.mark.parametrize("ending", ["md", "html"])
def test_the_list_has_every_processor_with_what_it_is_given(ending: str) -> None:
    text = registers.page("processors", ending)
    for processor in PROCESSORS:
        assert processor.name in text
        assert all(host in text for host in processor.hosts)
        assert all(entry in text for entry in processor.data_shared)


def test_no_page_has_the_time_in_it() -> None:
    for name, ending in PAGES:
        text = registers.page(name, ending)
        assert set(re.findall(r"\b20\d\d-\d\d-\d\d", text)) <= {policies.FIRST}
        assert not re.search(r"\d\d:\d\d", text)


@pytest.mark.parametrize("name", registers.PAGES)
def test_what_looks_like_markup_is_text(name: str) -> None:
    [*others, last] = DATA_MAP
    odd = dataclasses.replace(last, category="<script>alert(1)</script> | x | y", purpose="a\nb")
    assert "<script>" not in registers.page(name, "html", [*others, odd])
    rows = [row for row in registers.page(name, "md", [*others, odd]).splitlines() if "alert(1)" in row]
    assert rows
    assert all("<script>" not in row and r"\| x \| y" in row for row in rows)


AT = datetime(2027, 1, 1, tzinfo=UTC)
FULL = registers.Registers(
    "astra-prod",
    {"Firebase": {"reference": "DPA | 17 <b>", "expiresAt": AT}, "Vercel": None},
    [policies.Policy("2026-11-01", "a" * 64, None, AT, state=policies.State.ANNOUNCED)],
    [{"id": "0123", "recipient": "Acme <i>", "plannedAt": AT, "waitingDays": 30.0, "state": "planned"}],
)


@pytest.mark.parametrize("ending", ["md", "html"])
def test_with_a_project_the_pages_have_its_registers(ending: str) -> None:
    text = registers.page("processors", ending, registers=FULL)
    assert "Written without a project" not in text
    assert "astra-prod" in text
    assert "until 1 January 2027" in re.sub("<[^>]+>", "", text)
    assert text.count("none is registered") == len(PROCESSORS) - 1
    assert "<b>" not in text
    assert ending == "html" or r"DPA \| 17" in text
    record = registers.page("record-of-processing", ending, registers=FULL)
    assert "Written without a project" not in record
    for said in ("2026-11-01", "announced", "Acme &lt;i", "30 days", "planned"):
        assert said in record


@pytest.mark.parametrize(("name", "ending"), PAGES)
def test_without_a_project_the_pages_say_what_they_lack(name: str, ending: str) -> None:
    assert "Written without a project" in registers.page(name, ending)


def test_the_registers_are_read_from_the_project_of_the_environment(stack: Stack, tmp_path: Path) -> None:
    db = firestore.Client(project=f"demo-{secrets.token_hex(6)}")
    policies_command.publish_first(db)
    processors.seed(db, AT)
    agreement = {"reference": "DPA 2026/17", "expiresAt": AT}
    db.collection("processors").document("Vercel").update({"agreement": agreement})
    fields = {"recipient": "Acme", "plannedAt": AT, "waitingDays": 30, "state": "planned"}
    db.collection("transfers").document("0123").set(fields)
    written = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        command = [sys.executable, "-m", "cli", "registers", "write", str(folder)]
        environment = {**os.environ, "GOOGLE_CLOUD_PROJECT": db.project}
        subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)  # noqa: S603
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    assert b"DPA 2026/17" in written[0]["processors.html"]
    assert policies.FIRST.encode() in written[0]["record-of-processing.html"]
    assert b"Acme" in written[0]["record-of-processing.md"]
