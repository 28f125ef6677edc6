from collections.abc import Iterator
from typing import Any

import pytest

from astra.runtime.platform import Platform
from tests.functions.erasure.somebody import Somebody
from tests.people import own_project


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own: neither the deployed schedules nor other tests' people are in it."""
    with own_project(platform):
        yield platform


@pytest.fixture
def ada(platform: Platform[Any]) -> Somebody:
    return Somebody(platform)
