"""SIGKILL takes the process that sends a campaign's letters, again and again."""

import os
import secrets
from typing import Any

import firebase_admin
import pytest

from astra.notices.campaigns import Channel
from astra.runtime.platform import Platform
from bench.letters import killed
from tests.functions.breach.crowd import Crowd
from tests.people import settle

MEMBERS, KILLS = 60, 6


@pytest.mark.parametrize("channels", [(Channel.EMAIL,), (Channel.IN_APP, Channel.EMAIL)])
def test_everybody_is_told_and_nobody_twice_but_in_the_crash_window(
    platform: Platform[Any], channels: tuple[Channel, ...]
) -> None:
    settle(platform, f"demo-{secrets.token_hex(6)}")
    crowd = Crowd(platform)
    crowd.come(MEMBERS)
    crowd.announce(*channels, canary=False)
    outcome = killed(platform, crowd.name, MEMBERS, KILLS, os.environ)
    assert (outcome.letters, outcome.outside) == (MEMBERS, 0)
    assert outcome.inside <= KILLS
    assert crowd.is_terminal()
    assert crowd.told() == (crowd.uids if Channel.IN_APP in channels else [])
    firebase_admin.delete_app(platform.app)
