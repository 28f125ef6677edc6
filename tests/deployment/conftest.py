"""The one rehearsed project that the scenarios build upon, in order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.deployment.expected import SECRETS
from tests.deployment.prepared import prepare
from tests.deployment.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A project that is ready for its first deployment."""
    with Rehearsal(tmp_path_factory.mktemp("rehearsal")) as ready:
        prepare(ready.cloud, SECRETS)
        (ready.folder / "settings").mkdir(exist_ok=True)
        for main in ready.folder.glob("functions/*/main.py"):
            text = main.read_text(encoding="utf-8")
            full = r'from firebase_functions import params\nACCOUNT = f"\1@{params.PROJECT_ID}.iam.gserviceaccount.com"'
            main.write_text(re.sub(r'ACCOUNT = "([\w-]+)@"', full, text), encoding="utf-8")
        yield ready
