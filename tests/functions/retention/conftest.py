from collections.abc import Iterator
from typing import Any

import pytest

from astra.runtime.platform import Platform
from tests.functions.retention.stored import Stored
from tests.people import own_project


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own: neither the deployed schedules nor other tests' rows are in it."""
    with own_project(platform):
        yield platform


@pytest.fixture
def stored(platform: Platform[Any]) -> Stored:
    return Stored(platform)
