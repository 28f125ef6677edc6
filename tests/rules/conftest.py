"""The cast, and the two projects whose rules are asked: one keeps the repository's, one is given weakened ones."""

from collections.abc import Iterator

import pytest

from astra.runtime.platform import Platform
from astra.runtime.settings import Settings
from local.paths import ROOT
from local.stack import Stack
from tests.rules.cast import Cast
from tests.rules.documents import Documents
from tests.rules.objects import Objects


@pytest.fixture(scope="session")
def cast(stack: Stack) -> Cast:
    platform = Platform(Settings)
    return Cast(stack, platform.app, platform.db)


def _documents(stack: Stack, project: str, cast: Cast) -> Iterator[Documents]:
    documents = Documents(stack, project, cast)
    documents.load((ROOT / "firestore.rules").read_text(encoding="utf-8"))
    documents.seed()
    yield documents
    documents.close()


@pytest.fixture(scope="session")
def documents(stack: Stack, cast: Cast) -> Iterator[Documents]:
    """Everybody's documents under the repository's rules."""
    yield from _documents(stack, "demo-rules", cast)


@pytest.fixture(scope="session")
def weakened_documents(stack: Stack, cast: Cast) -> Iterator[Documents]:
    """Everybody's documents, under whatever rules a test loads."""
    yield from _documents(stack, "demo-weakened-rules", cast)


@pytest.fixture(scope="session")
def objects(stack: Stack, cast: Cast) -> Iterator[Objects]:
    """Everybody's objects under the repository's rules, in a bucket that no function watches."""
    objects = Objects(stack, cast)
    objects.seed()
    yield objects
    objects.close()
