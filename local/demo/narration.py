"""Narration of the demo: what it prints, and how long it waits."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from local.demo.client import CallError

T = TypeVar("T")


class Listener(Protocol):
    """Whom the story is told to."""

    def chapter(self, title: str) -> None:
        """A new part begins."""

    def saw(self, what: str, value: str) -> None:
        """Something to look at."""

    def certificate(self, certificate: dict[str, Any]) -> None:
        """The certificate of the erasure."""

    def check(self, claim: str, held: bool) -> None:
        """A claim that held or broke."""


class Broken(AssertionError):
    """The story can't go on."""


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 60) -> T:
    """Look until there is something to see; raises Broken after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (seen := look()) is not None:
            return seen
        time.sleep(0.1)
    raise Broken(f"{what}: not within {seconds:.0f} s")


def refused(attempt: Callable[[], Any]) -> CallError | None:
    """How the service refuses `attempt`; None if it does not."""
    try:
        attempt()
    except CallError as refusal:
        return refusal
    return None
