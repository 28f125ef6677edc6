"""The story that `make demo` prints, listened to by a test.

On a stack of its own: it changes the policy for everybody, and lets years go by.
"""

from typing import Any

import pytest

from local.demo import script as story
from local.stack.stack import Stack
from tests.support.offsets import ONE_LIFE
from tests.support.sources import sources


class Witness:
    """Remembers what broke and how much was claimed."""

    def __init__(self) -> None:
        self.claims: list[str] = []
        self.broken: list[str] = []
        self.sights: list[tuple[str, str]] = []
        self.certificates: list[dict[str, Any]] = []

    def chapter(self, title: str) -> None:
        """Nothing to judge in a title."""

    def saw(self, what: str, value: str) -> None:
        self.sights.append((what, value))

    def certificate(self, certificate: dict[str, Any]) -> None:
        self.certificates.append(certificate)

    def check(self, claim: str, held: bool) -> None:
        self.claims.append(claim)
        if not held:
            self.broken.append(claim)


@pytest.mark.first
@pytest.mark.timeout(400)
def test_one_persons_whole_life(monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness()
    with Stack(offset=ONE_LIFE, sources=sources()) as stack:
        for name, value in stack.environment().items():
            monkeypatch.setenv(name, value)
        story.tell(stack, witness)
    assert witness.broken == [], "\n".join(f"{what}: {value}" for what, value in witness.sights)
    assert len(witness.claims) >= 37, "the story has lost claims"
    assert len(witness.certificates) == 1
