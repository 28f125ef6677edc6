import secrets
from collections.abc import Iterator
from typing import Any

import firebase_admin
import pytest
from pydantic import AnyUrl, Secret

from astra.platform import Platform
from tests.functions.breach.crowd import Crowd
from tests.functions.breach.post_office import PostOffice
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


@pytest.fixture
def office(platform: Platform[Any]) -> Iterator[PostOffice]:
    """The mail server that the platform's settings name."""
    office = PostOffice()
    office.open()
    changes = {"smtp_url": Secret(AnyUrl(office.url)), "letters_a_minute": 10_000}
    platform.__dict__["settings"] = platform.settings.model_copy(update=changes)
    yield office
    office.shut()
