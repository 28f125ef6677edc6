import secrets
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest

from astra.platform import Platform
from tests.functions.breach.crowd import Crowd
from tests.people import settle


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own: the deployed functions are not at it."""
    settle(platform, f"demo-{secrets.token_hex(6)}")
    yield platform
    firebase_admin.delete_app(platform.app)


@pytest.fixture
def crowd(platform: Platform[Any]) -> Crowd:
    return Crowd(platform)
