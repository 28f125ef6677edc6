"""The one rehearsed project that the scenarios build upon, in order."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.deployment.cloud.storage import new_bucket
from tests.deployment.expected import REGION
from tests.deployment.page import TYPED, script
from tests.deployment.rehearsal import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The sections of docs/deploy.md that come before a deployment. Those of one line don't meet, and save time together.
SET_UP = ((("1. ", "2. "),), (("3. ", "4. ", "5. "), ("Who deploys",)))


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A project that is ready for its first deployment, set up by the commands of docs/deploy.md."""
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed: docs/deploy.md is rehearsed where it is")
    with Rehearsal(tmp_path_factory.mktemp("rehearsal")) as ready:
        project = ready.cloud.project
        # What the consoles make: the default bucket, and Identity Platform.
        ready.cloud.create(f"b/{project}.firebasestorage.app", new_bucket(f"{project}.firebasestorage.app", REGION))
        ready.cloud.create(f"projects/{project}/config", {"name": f"projects/{project}/config"})
        with ThreadPoolExecutor() as pool:
            for at_once in SET_UP:
                list(pool.map(lambda sections: ready.sh(script(project, *sections), TYPED, timeout=400), at_once))
        assert ready.google.unknown == []
        yield ready
