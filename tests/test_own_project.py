"""What one test writes no other sees, in Redis too."""

from typing import Any

from astra.runtime.platform import Platform
from local.stack import Stack
from tests.conftest import SteppedClock, WholeSettings
from tests.people import own_project


def test_each_project_of_a_test_has_a_redis_database_of_its_own(stack: Stack, clock: SteppedClock) -> None:
    deployed, one, other = [Platform[Any](WholeSettings, clock) for _ in range(3)]
    with own_project(one), own_project(other):
        one.redis.set("planted/key", 1, ex=60)
        assert (one.redis.dbsize(), other.redis.dbsize()) == (1, 0)
        assert not deployed.redis.exists("planted/key")
        assert str(deployed.settings.redis_url.get_secret_value()) == stack.redis_url
