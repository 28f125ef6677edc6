"""Progress of a campaign: members reached, e-mails left to send, rate and time left."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from google.cloud import firestore

from astra.notices import deliveries
from astra.notices.campaigns import Channel, State
from astra.notices.deliveries import DELIVERIES, SHARDS, DeliveryState
from astra.runtime import documents
from astra.runtime.platform import Platform
from astra.runtime.settings import Settings

if TYPE_CHECKING:
    pass


_MEMBERS: Final = ("told", "queued", "gone")


_GOING: Final = (State.CANARY, State.RUNNING)


@dataclass(frozen=True)
class Progress:
    """How far a campaign is at a moment. Members are reached when they are told or a letter to them is in the queue."""

    fields: dict[str, Any]
    jobs: dict[str, dict[str, Any]]
    letters: dict[str, int]
    """How many are in which state."""
    at: datetime

    @classmethod
    def of(cls, platform: Platform[Settings], stored: "firestore.DocumentSnapshot[Any]") -> "Progress":
        """Reads the campaign's jobs, and has its letters counted."""
        fields = stored.to_dict() or {}
        shards = stored.reference.collection(SHARDS).get()
        jobs = {shard.id: shard.to_dict() or {} for shard in shards}
        by_mail = Channel.EMAIL in fields["channels"]
        counted = _letters(platform.db, stored.id) if by_mail else {}
        return cls(fields, jobs, counted, platform.clock())

    @property
    def members(self) -> Counter[str]:
        """How many were told, have a letter in the queue, or are gone."""
        counts = sum((Counter(job.get("counts", {})) for job in self.jobs.values()), Counter[str]())
        return Counter({name: counts[name] for name in _MEMBERS})

    @property
    def steps(self) -> int:
        """What is done of two steps for each member: that they are reached, and that no letter to them is left to send.
        It only grows: a letter that is queued takes back one of two steps that reaching its member was."""
        reached, letters = self.members.total(), self.letters.get("letters", 0)
        # Of a list each has a row from the beginning, of everybody only who was reached.
        return reached + max(reached, letters) - self.letters.get(DeliveryState.QUEUED, 0)

    @property
    def share(self) -> float:
        """From 0 to 1, of all steps."""
        if self.fields["state"] == State.COMPLETE:
            return 1.0
        return min(1.0, self.steps / (2 * self.fields["count"])) if self.fields["count"] else 0.0

    @property
    def rate(self) -> float | None:
        """Members reached a second since it was last let go, if it is under way or complete."""
        until = self.fields["completedAt"] or (self.at if self.fields["state"] in _GOING else None)
        if not (until and self.fields["goingSince"]):
            return None
        reached = self.members.total() - self.fields["goingFrom"]["members"]
        return float(reached / max((until - self.fields["goingSince"]).total_seconds(), 1e-3))

    @property
    def remaining(self) -> timedelta | None:
        """How long it takes if it goes on as it did since it was last let go."""
        if self.fields["state"] not in _GOING or not self.fields["count"]:
            return None
        done = self.steps - self.fields["goingFrom"]["steps"]
        so_far: timedelta = self.at - self.fields["goingSince"]
        return so_far * (max(0, 2 * self.fields["count"] - self.steps) / done) if done > 0 else None

    def going_on(self) -> dict[str, Any]:
        """The campaign's fields when it is let go on: from then on its pace is measured, not over what it waited."""
        return deliveries.going(self.at, self.members.total(), self.steps)


def _letters(db: firestore.Client, name: str) -> dict[str, int]:
    rows = db.collection_group(DELIVERIES).where(filter=firestore.FieldFilter("campaign", "==", name))
    found = {
        state.value: documents.count(rows.where(filter=firestore.FieldFilter("state", "==", state.value)))
        for state in DeliveryState
    }
    return found | {"letters": sum(found.values())}
