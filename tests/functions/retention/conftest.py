import secrets
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest

from astra.platform import Platform
from tests.functions.retention.stored import Stored
from tests.people import settle


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own: neither the deployed schedules nor other tests' rows are in it."""
    settle(platform, f"demo-{secrets.token_hex(6)}")
    yield platform
    firebase_admin.delete_app(platform.app)


@pytest.fixture
def stored(platform: Platform[Any]) -> Stored:
    return Stored(platform)
