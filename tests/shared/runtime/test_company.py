"""Another company changes one file: nothing else that is deployed names this one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from astra.runtime.company import COMPANY
from local.paths import ROOT

FILE = "shared/astra/company.toml"
RENDER = """
from datetime import UTC, datetime
from astra import policies
from astra.datamap.table import DATA_MAP
from astra.notices import messages
from astra.notices.inbox import Kind
from astra.runtime.settings import MailSettings, ReceiptSettings
from cli import registers
from governance import policy_pages, processors
from signup import consent_receipts
from tests.support import rendering
from tlog.settings import LogSettings

facts = dict.fromkeys(rendering.NAMES, "2026-11-01") | rendering.texts.notice("a" * 20, rendering.INCIDENT).facts
for kind in set(Kind) - {Kind.STAFF, Kind.LEGAL_HOLD, Kind.DISCLOSURE}:
    print(messages.render(kind, facts))
for name in registers.PAGES:
    print(registers.page(name, "html"), registers.page(name, "md"))
policy = policies.Policy("1", "f" * 64, rendering.AT)
print(policy_pages._missing([policy], policy, rendering.AT, as_text=False).get_data(as_text=True))
print(consent_receipts.given("f" * 64, "terms", policy, "1", rendering.AT))
for settings in (MailSettings, ReceiptSettings, LogSettings):
    print(settings.model_fields)
print(processors.PROCESSORS, processors.ELSEWHERE)
"""


def names() -> re.Pattern[str]:
    """Return what the company is known by: its name without what it is in law, and its domains."""
    domains = {COMPANY.contact.partition("@")[2], COMPANY.mail_from.partition("@")[2], COMPANY.domain}
    return re.compile("|".join(map(re.escape, (COMPANY.legal_name.partition(",")[0], *domains))), re.IGNORECASE)


def test_no_other_file_of_what_runs_names_the_company() -> None:
    listed = subprocess.run(
        [
            "/usr/bin/env",
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "shared",
            "functions",
            "cli",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    files = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in files if "/policies/" not in name}
    assert {name for name, text in texts.items() if names().search(text)} == {FILE}


def test_another_companys_file_is_all_that_another_company_needs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "shared/astra", tmp_path / "astra", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / FILE).read_text(encoding="utf-8")
    (tmp_path / "astra/company.toml").write_text(names().sub("example.org", text), encoding="utf-8")
    codebases = sorted(str(main.parent) for main in ROOT.glob("functions/*/main.py"))
    path = os.pathsep.join([str(tmp_path), str(ROOT), *codebases])
    said = subprocess.run(  # noqa: S603
        [sys.executable, "-c", RENDER],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert "example.org" in said.stdout
    assert not names().search(said.stdout)
