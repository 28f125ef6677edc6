"""Runs a staff command in this process, over a test's own platform and clock."""

from contextlib import nullcontext
from typing import Any

import pytest

from astra.runtime.platform import Platform
from cli import operator


def sit_down(monkeypatch: pytest.MonkeyPatch, platform: Platform[Any]) -> None:
    """Give every staff command the clock and the clients of `platform`."""
    desk = operator.Desk(platform._kind, None, operator.GOOGLE, acts=True)
    vars(desk).update(vars(platform))
    monkeypatch.setattr(operator, "platform", lambda *_, **__: nullcontext(desk))
