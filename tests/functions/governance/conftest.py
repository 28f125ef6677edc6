import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from astra.runtime.platform import Platform
from tests.colleagues import Team
from tests.functions.governance.ledger import Ledger
from tests.people import own_project


@pytest.fixture
def platform(platform: Platform[Any]) -> Iterator[Platform[Any]]:
    """Over a project and a log of its own: the deployed sequencer is not at it; the witness knows it by its name."""
    name = secrets.token_hex(6)
    with own_project(platform, f"demo-{name}"):
        platform.__dict__["settings"] = platform.settings.model_copy(update={"log_origin": f"example.com/{name}"})
        yield platform


@pytest.fixture
def ledger(platform: Platform[Any]) -> Ledger:
    return Ledger(platform)


@pytest.fixture
def team(platform: Platform[Any]) -> Team:
    return Team(platform)
