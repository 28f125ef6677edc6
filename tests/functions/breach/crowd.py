"""Many people in a project of their own, and a campaign's jobs worked on in this process."""

import secrets
import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from google.cloud import firestore

from astra import erasure
from astra.notices import campaigns
from astra.notices.campaigns import Campaign, Channel, State
from astra.notices.deliveries import LANE, SHARDS
from astra.notices.inbox import Kind
from astra.runtime.platform import Platform
from notices import dispatch

BUDGET: Final = timedelta(minutes=1)
STAFF: Final = ("a" * 64, "b" * 64)
FACTS: Final = {
    "version": "2027-01-01",
    "effectiveAt": "2027-01-01T00:00:00Z",
    "summary": "We say more about <cookies> & such.",
    "url": "https://astra.example/policy",
}
_ALPHABET: Final = string.digits + string.ascii_letters


class Hints:
    """A queue that nobody takes from: what was hinted is kept, in order."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def hint(self, job: str, at: datetime | None = None, **_more: str) -> bool:
        if at is None:
            self.jobs.append(job)
        return True


class Crowd:
    """People, by account ids as Auth makes them."""

    name = "policy-2027-01-01"

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform, self.db, self.hints = platform, platform.db, Hints()
        self.uids: list[str] = []

    def come(self, many: int, **fields: Any) -> list[str]:
        """So many have signed up."""
        uids = sorted("".join(secrets.choice(_ALPHABET) for _ in range(28)) for _ in range(many))
        batch = self.db.batch()
        for uid in uids:
            profile = {"email": f"{uid}@example.com", "state": "active", "createdAt": self.platform.clock(), **fields}
            batch.set(self.db.document("users", uid), profile)
        batch.commit()
        self.uids = sorted(self.uids + uids)
        return uids

    def announce(self, *channels: Channel, approvers: Sequence[str] = STAFF, **more: Any) -> None:
        """Open a campaign for them all."""
        batch, campaign = self.db.batch(), Campaign(Kind.POLICY_CHANGE, FACTS, channels or (Channel.IN_APP,))
        campaigns.announce(batch, self.db, self.name, campaign, self.platform.clock(), approvers, **more)
        batch.commit()

    def campaign(self) -> dict[str, Any]:
        return campaigns.reference(self.db, self.name).get().to_dict() or {}

    def state(self) -> State:
        return State(self.campaign()["state"])

    def jobs(self) -> dict[str, dict[str, Any]]:
        shards = campaigns.reference(self.db, self.name).collection(SHARDS).get()
        return {shard.id: shard.to_dict() or {} for shard in shards}

    def work(self, *, letters: bool = True) -> None:
        """What tasks do, one after another, until nothing is due; what waits for its time goes on waiting."""
        while dispatch.deliver(self.platform, self.hints):  # type: ignore[arg-type]
            due = [job for job in dict.fromkeys(self.hints.jobs) if letters or f"/{LANE}" not in job]
            self.hints.jobs = []
            if not due:
                return
            for job in due:
                dispatch.notify(self.platform, self.hints, job, BUDGET)  # type: ignore[arg-type]

    def task(self, job: str) -> None:
        """What one task does."""
        dispatch.notify(self.platform, self.hints, f"{self.name}/{job}", BUDGET)  # type: ignore[arg-type]

    def send(self) -> None:
        """`work`, and again when those have come back who found no letter the first time."""
        self.work()
        self.platform.clock.now += timedelta(seconds=2)  # type: ignore[attr-defined]
        self.work()

    def finish(self) -> None:
        """Work until it is complete, or waits for people; with the waiting for time skipped."""
        for _ in range(200):
            self.work()
            due = [job["nextRunAt"] for job in self.jobs().values() if job["nextRunAt"]]
            if not due:
                return
            self.platform.clock.now = max(min(due), self.platform.clock())  # type: ignore[attr-defined]
        raise AssertionError(f"it goes on and on: {self.jobs()}")

    def notices(self, uid: str) -> list[dict[str, Any]]:
        found = self.db.collection("users", uid, "notices").get()
        return [{"name": notice.id, **(notice.to_dict() or {})} for notice in found]

    def told(self) -> list[str]:
        """Who has been told, in order; each once for each notice."""
        found = self.db.collection_group("notices").get()
        return sorted(notice.reference.path.split("/")[1] for notice in found)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The ledger's rows, by account id."""
        found = self.db.collection_group("deliveries").get()
        return {row.reference.path.split("/")[1]: row.to_dict() or {} for row in found}

    def is_terminal(self) -> bool:
        """Whether everybody who is still there was told, or has a letter that a server took."""
        told, rows = {*self.told()}, self.rows()
        taken = {uid for uid, row in rows.items() if row["state"] in ("accepted", "delivered")}
        leaving = {uid for uid in self.uids if self.profile(uid).get(["state"]).get("state") == "erasing"}
        return set(self.uids) <= told | taken | leaving

    def leave(self, uid: str) -> None:
        """Ask to be erased."""
        erasure.begin(self.platform, uid, self.platform.clock())

    def profile(self, uid: str) -> firestore.DocumentReference:
        return self.db.document("users", uid)
