"""SIGKILL takes the process that sends a campaign's letters, again and again."""

import os
import secrets
from typing import Any

import firebase_admin
import pytest

from astra.campaigns import Channel
from astra.platform import Platform
from bench.letters import killed
from tests.functions.breach.crowd import Crowd
from tests.people import settle

MEMBERS, KILLS = 60, 6


@pytest.mark.parametrize("channels", [(Channel.EMAIL,), (Channel.IN_APP, Channel.EMAIL)])
def test_everybody_is_told_and_a_kill_lets_one_letter_come_twice_at_most(
    platform: Platform[Any], channels: tuple[Channel, ...]
) -> None:
    settle(platform, f"demo-{secrets.token_hex(6)}")
    crowd = Crowd(platform)
    crowd.come(MEMBERS)
    crowd.announce(*channels, canary=False)
    outcome = killed(platform, crowd.name, MEMBERS, KILLS, os.environ)
    assert outcome.letters == MEMBERS
    # Of each kill one letter. Now and then it is not the last that the server has listed, which is not understood.
    assert outcome.inside + outcome.outside <= KILLS
    assert outcome.outside <= 1
    assert crowd.is_terminal()
    assert crowd.told() == (crowd.uids if Channel.IN_APP in channels else [])
    firebase_admin.delete_app(platform.app)
