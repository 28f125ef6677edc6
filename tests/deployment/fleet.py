"""Served functions, started ahead of the tests that ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tests.deployment.production import cpu_seconds, resident_mib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.stack.served import Served
    from tests.deployment.production import Deployed, Production

#: How many start while one is asked.
_AHEAD: Final = 3


class Measured(NamedTuple):
    """Memory and processor time of a process since it was started."""

    resident_mib: float
    cpu_seconds: float


class Fleet:
    """Starts the functions named in `order` one after another, and others when they are asked for."""

    def __init__(self, production: Production, deployed: Mapping[str, Deployed], order: Sequence[str]) -> None:
        self._production, self._deployed, self._order = production, deployed, list(order)
        self._served: dict[str, Served] = {}
        self._ended: list[Served] = []

    def get(self, name: str) -> Served:
        """Return a function that listens."""
        following = self._order[self._order.index(name) :][: _AHEAD + 1] if name in self._order else [name]
        for function in following:
            if function not in self._served:
                self._served[function] = self._production.serve(self._deployed[function])
        served = self._served[name]
        served.wait()
        return served

    def measure(self, name: str) -> Measured:
        """Return what a function that was started has taken."""
        pid = self._served[name].pid
        return Measured(resident_mib(pid), cpu_seconds(pid))

    def end(self, name: str) -> None:
        """Stop a function that is needed no more."""
        self._order = [other for other in self._order if other != name]
        self._ended.append(self._served.pop(name))
        self._ended[-1].begin_stop()  # which takes a second: the next one need not wait for it

    def close(self) -> None:
        """Stop all that is left."""
        for served in self._served.values():
            served.begin_stop()
        for served in (*self._ended, *self._served.values()):
            served.stop()
