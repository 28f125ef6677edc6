"""How the function of `retention` is asked, and what is seen of it in the stores."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.deployment.world import World


def sweep(world: World) -> None:
    ada, now = world.join(), world.platform.clock()
    expired, kept = (ada.profile.collection("events").document(name) for name in ("expired", "kept"))
    for event, moment in ((expired, now - timedelta(minutes=1)), (kept, now + timedelta(days=1))):
        event.set({"event": "app_opened", "createdAt": now - timedelta(days=90), "expireAt": moment})
    world.fire("sweep")
    assert not expired.get().exists
    assert kept.get().exists
