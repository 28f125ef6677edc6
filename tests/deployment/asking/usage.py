"""Requests to the functions of `usage`, and their effects in the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astra.runtime.callables import Call, Caller, parse
from astra.runtime.rate_limits import Limit
from usage import record
from usage.events import LogEvent

if TYPE_CHECKING:
    from tests.deployment.world import World

_USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def log_event(world: World) -> None:
    ada = world.join()
    world.call("log_event", {"event": "app_opened", "id": "first-event"}, ada)
    assert world.fields(f"users/{ada.uid}/events/first-event")["event"] == "app_opened"


def flush(world: World) -> None:
    ada, events = world.join(), 0
    call = Call(
        parse(LogEvent, {"event": "app_opened"}), Caller(ada.uid, world.platform.clock(), ""), None, _USER_AGENT
    )
    # The first of a minute is committed, the next is gathered, unless the minute ended in between.
    while record.gather(world.platform, Limit(100), call) is None:
        record.log_event(world.platform, call)
        events += 1
    world.fire("flush")
    assert len(ada.profile.collection("events").get()) == events + 1
