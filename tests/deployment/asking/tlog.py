"""A request to the function of `tlog`, and its effect in the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astra import tlog
from tlog.witness import Witness

if TYPE_CHECKING:
    from tests.deployment.world import World


def sequence(world: World) -> None:
    pending = [entry for entry in world.db.collection(tlog.COMMITMENTS).get() if entry.get("index") is None]
    assert pending
    world.fire("sequence")
    assert pending[0].reference.get().get("index") is not None
    assert Witness(world.platform.settings).latest()
