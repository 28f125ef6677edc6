import secrets
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest

from astra.platform import Platform
from astra.settings import BreachSettings
from local.stack import Stack
from tests.colleagues import Team
from tests.conftest import WholeSettings
from tests.functions.breach.crowd import Crowd
from tests.functions.breach.office import Office
from tests.people import settle


class Everything(WholeSettings, BreachSettings):
    """What a test may look at beside what the codebase has."""


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project of its own: the deployed functions are not at it. Its pseudonyms, and so its keys of Redis, are
    its own too."""
    settle(platform, f"demo-{secrets.token_hex(6)}")
    deployer = f"deploy@{secrets.token_hex(4)}.gserviceaccount.com"
    mine = {"pseudonym_key": secrets.token_bytes(32), "deployers": (deployer,)}
    platform.__dict__["settings"] = Everything.model_validate(Everything().model_dump() | mine)
    yield platform
    firebase_admin.delete_app(platform.app)


@pytest.fixture
def crowd(platform: Platform[Any]) -> Crowd:
    return Crowd(platform)


@pytest.fixture
def team(platform: Platform[Any]) -> Team:
    return Team(platform)


@pytest.fixture
def office(platform: Platform[Any], team: Team, stack: Stack) -> Office:
    return Office(platform, team, stack)
