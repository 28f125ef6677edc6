"""Policies that two people publish, transfers that they plan, and everybody told of them."""

from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Final

from astra import jobs, policies
from astra.notices import campaigns
from astra.notices.deliveries import SHARDS
from astra.runtime.callables import parse
from astra.runtime.platform import Platform
from astra.staff import Role
from governance.policies import PublishPolicy, WithdrawPolicy, publish_policy, withdraw_policy
from notices import dispatch
from tests.functions.notices.crowd import BUDGET, Hints
from tests.support.colleagues import Person, Team

SUMMARY: Final = "Acme Mail sends our letters from now on."


def text_of(version: str, change: str = "") -> str:
    """The first policy's text, as of another day."""
    first = resources.files("astra").joinpath(f"policies/texts/{policies.FIRST}.txt").read_text(encoding="utf-8")
    return first.replace("Aug 02, 2025", f"{policies.dated(version):%b %d, %Y}") + change


def publication(platform: Platform[Any], days_ago: int = 0, **changes: Any) -> PublishPolicy:
    """The form for a version of today, or of so many days ago, that takes effect in 31 days."""
    version = f"{platform.clock() - timedelta(days=days_ago):%Y-%m-%d}"
    fields = {
        "version": version,
        "text": changes.get("text") or text_of(changes.get("version", version)),
        "effectiveAt": (platform.clock() + timedelta(days=31)).isoformat(),
        "material": True,
        "summary": SUMMARY,
    }
    return parse(PublishPolicy, fields | changes)


class Board:
    """Two who decide."""

    def __init__(self, platform: Platform[Any], team: Team) -> None:
        self.platform = platform
        self.priya, self.cleo = team.hire(Role.PRIVACY), team.hire(Role.CTO)

    def decide(self, handler: Any, form: Any) -> dict[str, Any]:
        """Both ask for the same."""
        assert handler(self.platform, self.priya.call(form))["state"] == "proposed"
        answer: dict[str, Any] = handler(self.platform, self.cleo.call(form))
        assert answer["state"] == "done"
        return answer

    def publish(self, **changes: Any) -> str:
        """Publish a version. Answers its name."""
        form = publication(self.platform, **changes)
        self.decide(publish_policy, form)
        return form.version

    def withdraw(self, version: str) -> None:
        self.decide(withdraw_policy, WithdrawPolicy(version=version, reason="It says what we did not mean."))


def work(platform: Platform[Any], name: str) -> None:
    """Let the engine work on what is due of a campaign."""
    for shard in list(jobs.due(campaigns.reference(platform.db, name).collection(SHARDS), platform.clock())):
        dispatch.notify(platform, Hints(), f"{name}/{shard}", BUDGET)  # type: ignore[arg-type]


def tell_everybody(platform: Platform[Any], name: str) -> None:
    """Let the engine work on a campaign until everybody has been told."""
    campaign = campaigns.reference(platform.db, name)
    for _ in range(20):
        work(platform, name)
        if campaigns.completed_at(platform.db, name):
            return
        platform.clock.step(seconds=1)  # type: ignore[attr-defined]
    raise AssertionError(campaign.get().to_dict())


def stored(platform: Platform[Any], version: str) -> dict[str, Any]:
    """What `policies/{version}` holds."""
    return platform.db.collection(policies.PUBLIC).document(version).get().to_dict() or {}


def in_force(platform: Platform[Any], at: datetime | None = None) -> str:
    return policies.current(platform.db, at or platform.clock()).version


def titles(person: Person) -> list[str]:
    return sorted(notice["title"] for notice in person.notices())
