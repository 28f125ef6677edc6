"""The one rehearsed project that the scenarios build upon, in order."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from local.paths import ROOT
from tests.deployment.expected import SECRETS
from tests.deployment.prepared import DEPLOYER, prepare
from tests.deployment.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A project that is ready for its first deployment."""
    with Rehearsal(tmp_path_factory.mktemp("rehearsal")) as ready:
        prepare(ready.cloud, SECRETS)
        shutil.copy(ROOT / "settings/.env.example", ready.settings)
        ready.caller = f"serviceAccount:{DEPLOYER}@{ready.cloud.project}.iam.gserviceaccount.com"
        yield ready
