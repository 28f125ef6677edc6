"""The one rehearsed project that the scenarios build upon, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.paths import ROOT
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
        settings = (ROOT / "settings/.env.example").read_text(encoding="utf-8")
        (ready.folder / f"settings/.env.{ready.cloud.project}").write_text(settings, encoding="utf-8")
        yield ready
