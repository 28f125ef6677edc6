"""Stacks of the tests' own, beside the shared one: on ports of their own, without functions so that they start fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack.stack import Stack
from tests.local.support import Up, killed_at_last
from tests.support.offsets import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """The emulators alone, on ports of their own."""
    with Stack(only=("auth", "firestore", "storage"), offset=SERVERS) as running:
        yield running


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A stack of a process of its own, being started."""
    with killed_at_last(Up(tmp_path / "up.txt")) as running:
        yield running
