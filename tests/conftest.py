"""The one local stack that every test needing it shares."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from astra.runtime.platform import Platform
from astra.vault.settings import OpeningSettings
from breach.settings import AssessmentSettings, TickSettings
from erasure.settings import ErasureSettings, RollCallSettings
from governance.settings import GovernanceSettings
from local.demo.client import Client
from local.stack.stack import Stack
from notices.settings import BounceSettings, CampaignSettings
from signup.settings import SignupSettings
from tests.support.offsets import SHARED
from tests.support.sources import sources
from tlog.settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

#: Fixtures that start servers or build the deployment archives, for minutes.
_STACKS = {"stack", "servers", "up", "rehearsal", "unpacked", "functions", "world"}
#: The shared stack while it runs: at most one.
_shared: list[Stack] = []


class WholeSettings(
    OpeningSettings,
    ErasureSettings,
    RollCallSettings,
    SignupSettings,
    AssessmentSettings,
    TickSettings,
    CampaignSettings,
    BounceSettings,
    GovernanceSettings,
    LogSettings,
):
    """Everything: a test may look where no single codebase may."""


class SteppedClock:
    """Answers the real time at first, then whatever the test makes of it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, **duration: float) -> None:
        """Move on by `timedelta(**duration)`."""
        self.now += timedelta(**duration)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The running local stack, with this process's environment pointing at it; started by the first test that asks."""
    before = dict(os.environ)
    with Stack(offset=SHARED, sources=sources()) as running:
        _shared.append(running)
        os.environ.update(running.environment())
        try:
            yield running
        finally:
            _shared.clear()
            os.environ.clear()
            os.environ.update(before)


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `first` need a stack of their own before there is the shared one; `last` ones look at what all
    others left behind. With two processes (`-n 2 --dist loadgroup`) one has what needs the shared stack, the other all
    else."""
    for item in items:
        marked = item.get_closest_marker("first") or item.get_closest_marker("last")
        shares = "stack" in getattr(item, "fixturenames", ()) or marked
        item.add_marker(pytest.mark.xdist_group("shared-stack" if shares else "apart"))
        if marked or not _STACKS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("stack")
    items.sort(key=lambda item: bool(item.get_closest_marker("last")) - bool(item.get_closest_marker("first")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Once a part of the stack has died, the tests that need it fail at once and say so."""
    if "stack" in getattr(item, "fixturenames", ()):
        for running in _shared:
            if running.failure:
                pytest.fail(f"local stack: {running.failure}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the test during which the stack died why its requests were refused."""
    report = yield
    if report.failed:
        report.sections += [("local stack", running.failure) for running in _shared if running.failure]
    return report


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A customer's browser. Each test signs up people of its own: nobody shares data."""
    with Client(stack) as client:
        yield client


@pytest.fixture
def clock() -> SteppedClock:
    """A clock that stands still until the test moves it."""
    return SteppedClock()


@pytest.fixture
def platform(stack: Stack, clock: SteppedClock) -> Platform[Any]:
    """The handlers' collaborators over the shared stack, for what can't be reached through a deployed function."""
    return Platform(WholeSettings, clock)
