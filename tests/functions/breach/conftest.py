import secrets
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest

from astra.platform import Platform
from astra.settings import BreachSettings
from tests.colleagues import Team
from tests.conftest import WholeSettings
from tests.people import settle


class Everything(WholeSettings, BreachSettings):
    """What a test may need beside what the codebase has."""


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own, and keys of Redis that no other test has: its pseudonyms are its own."""
    settle(platform, f"demo-{secrets.token_hex(6)}")
    mine = {
        "pseudonym_key": secrets.token_bytes(32),
        "deployers": (f"deploy@{secrets.token_hex(4)}.gserviceaccount.com",),
    }
    values = Everything().model_dump() | mine
    platform.__dict__["settings"] = Everything.model_validate(values)
    yield platform
    firebase_admin.delete_app(platform.app)


@pytest.fixture
def team(platform: Platform[Any]) -> Team:
    return Team(platform)
