from typing import Any

import pytest

from astra.runtime.platform import Platform
from local.stack.stack import Stack
from tests.functions.breach.desk import Desk
from tests.functions.notices.conftest import crowd, office, platform, team
from tests.support.colleagues import Team

__all__ = ["crowd", "desk", "office", "platform", "team"]


@pytest.fixture
def desk(platform: Platform[Any], team: Team, stack: Stack) -> Desk:
    return Desk(platform, team, stack)
