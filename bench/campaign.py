"""Benchmark: a campaign to 100,000 members beside bare batched writes, and killed mailers."""

import os
import secrets
import string
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from bench import OFFSET
from bench.child import measured, say
from local.stack.stack import Stack

_MEMBERS, _WARM, _ROUNDS = 100_000, 20_000, 2
_BATCH = 400
_OPERATIONS = 3
_LETTERS, _KILLS = 1_000, 20
_ALPHABET = string.digits + string.ascii_letters
_NAME = "policy-2027-01-01"
_FACTS = {
    "version": "2027-01-01",
    "effectiveAt": "2027-01-01T00:00:00Z",
    "summary": "We name one more processor, and say for how long we keep what you write to us.",
    "url": "https://astra-engineering.co/policies/2027-01-01",
}
_STAFF = ("a" * 64, "b" * 64)


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore"), offset=OFFSET, timer=None) as stack:
        yield from measured(stack, "breach", "bench.campaign")


def platform() -> Any:
    """Over a project of its own: in the emulator a query costs as much as there is, whatever it finds."""
    import firebase_admin  # noqa: PLC0415  (the child's imports: the environment is the stack's)

    from astra.runtime.platform import Platform  # noqa: PLC0415
    from notices.settings import CampaignSettings  # noqa: PLC0415

    found = Platform(CampaignSettings)
    name = secrets.token_hex(6)
    found.__dict__["app"] = firebase_admin.initialize_app(options={"projectId": f"demo-{name}"}, name=name)
    return found


def plant(db: Any, many: int, now: Any) -> list[str]:
    """So many members, by account ids as Auth makes them."""
    uids = sorted("".join(secrets.choice(_ALPHABET) for _ in range(28)) for _ in range(many))
    for batch in batches(db, uids):
        for uid in batch.uids:
            fields = {"name": "Ada Lovelace", "email": f"{uid.lower()}@example.com", "createdAt": now}
            fields |= {"policyVersion": "2025-08-02", "ipLock": False, "jurisdiction": None, "state": "active"}
            batch.set(db.document("users", uid), fields)
        batch.commit()
    return uids


def batches(db: Any, uids: list[str]) -> Iterator[Any]:
    for first in range(0, len(uids), _BATCH):
        batch = db.batch()
        batch.uids = uids[first : first + _BATCH]
        yield batch


def bare(db: Any, uids: list[str], now: Any) -> None:
    """The same documents, by who knows all ids beforehand."""
    from astra.notices import inbox, messages  # noqa: PLC0415

    notice = messages.render(inbox.Kind.POLICY_CHANGE, _FACTS).notice
    for batch in batches(db, uids):
        for uid in batch.uids:
            inbox.write(batch, db, uid, "bare", notice, now, campaign="bare")
        batch.commit()


def announce(platform: Any, *channels: str) -> None:
    """Open a campaign for everybody, in the application unless other channels are named."""
    from astra.notices import campaigns, inbox  # noqa: PLC0415

    through = tuple(campaigns.Channel(channel) for channel in channels or ["in-app"])
    batch, campaign = platform.db.batch(), campaigns.Campaign(inbox.Kind.POLICY_CHANGE, _FACTS, through)
    campaigns.announce(batch, platform.db, _NAME, campaign, platform.clock(), _STAFF, canary=False)
    batch.commit()


def work(platform: Any) -> None:
    """What tasks do, one after another, until there is nothing to do."""
    from bench.letters import Hints  # noqa: PLC0415
    from notices import dispatch  # noqa: PLC0415

    queue: Any = Hints()
    while dispatch.deliver(platform, queue):
        due, queue.jobs = dict.fromkeys(queue.jobs), []
        for job in due:
            dispatch.notify(platform, queue, job, timedelta(hours=1))


def in_app() -> Iterator[str]:
    """Notices in the application: the best of each, taken in turn, after a round that warms both up."""
    from bench.wire import Meter  # noqa: PLC0415

    meter, ours, base, operations = Meter(), [], [], 0
    for members in (_WARM, *[_MEMBERS] * _ROUNDS):
        at = platform()
        base.append(members / seconds(partial(bare, at.db, plant(at.db, members, at.clock()), at.clock())))
        at = platform()
        plant(at.db, members, at.clock())
        announce(at)
        before = meter.reads + meter.writes
        ours.append(members / seconds(partial(work, at)))
        operations = meter.reads + meter.writes - before
        done = at.db.document(f"campaigns/{_NAME}").get().to_dict()
        assert (done["state"], done["counts"]) == ("complete", {"told": members, "gone": 0}), done
    rate, bare_rate, each = max(ours[1:]), max(base[1:]), operations / _MEMBERS
    yield (
        f"campaign-in-app-100k: {rate:.0f} members/s"
        f" (baseline {bare_rate:.0f} documents/s bare, ratio {rate / bare_rate:.2f})"
    )
    yield (
        f"campaign-operations: {each:.3f} Firestore operations a member"
        f" (baseline {_OPERATIONS} at most, ratio {each / _OPERATIONS:.2f})"
    )


def letters() -> Iterator[str]:
    """Letters, by a worker that is killed twenty times."""
    from bench.letters import killed  # noqa: PLC0415

    at = platform()
    plant(at.db, _LETTERS, at.clock())
    announce(at, "email")
    outcome = killed(at, _NAME, _LETTERS, _KILLS, os.environ)
    done = at.db.document(f"campaigns/{_NAME}").get().to_dict()
    assert done["counts"] == {"queued": _LETTERS, "gone": 0, "accepted": _LETTERS}, done
    assert outcome.letters == _LETTERS
    yield (
        f"campaign-killed-{_KILLS}: {outcome.outside} of {_LETTERS} letters twice outside the crash window"
        f" (baseline {_KILLS} at most inside it, {outcome.inside} were, ratio {outcome.inside / _KILLS:.2f})"
    )


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    for part in (in_app, letters):
        for line in part():
            say(line)
