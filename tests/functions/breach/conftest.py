import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import AnyUrl, Secret

from astra.runtime.platform import Platform
from local.stack import Stack
from tests.colleagues import Team
from tests.conftest import WholeSettings
from tests.functions.breach.crowd import Crowd
from tests.functions.breach.desk import Desk
from tests.functions.breach.post_office import PostOffice
from tests.people import own_project


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """A platform over a project of its own, which no deployed function works on, with pseudonyms of its own."""
    with own_project(platform):
        deployer = f"deploy@{secrets.token_hex(4)}.gserviceaccount.com"
        mine = {"pseudonym_key": secrets.token_bytes(32), "deployers": (deployer,)}
        platform.__dict__["settings"] = WholeSettings.model_validate(platform.settings.model_dump() | mine)
        yield platform


@pytest.fixture
def crowd(platform: Platform[Any]) -> Crowd:
    return Crowd(platform)


@pytest.fixture
def team(platform: Platform[Any]) -> Team:
    return Team(platform)


@pytest.fixture
def desk(platform: Platform[Any], team: Team, stack: Stack) -> Desk:
    return Desk(platform, team, stack)


@pytest.fixture
def office(platform: Platform[Any]) -> Iterator[PostOffice]:
    """The mail server that the platform's settings name."""
    office = PostOffice()
    office.open()
    changes = {"smtp_url": Secret(AnyUrl(office.url)), "letters_a_minute": 10_000}
    platform.__dict__["settings"] = platform.settings.model_copy(update=changes)
    yield office
    office.shut()
