"""Benchmark: audit log entries a second, beside decoding alone."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import OFFSET
from bench.child import measured, say
from local.stack.stack import Stack

_ENTRIES = 20_000
_BATCHES = (1000, 100, 1)
_PEOPLE = 2000
_ROUNDS = 5


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore"), offset=OFFSET, timer=None) as stack:
        yield from measured(stack, "breach", "bench.detect")


def entries() -> list[bytes]:
    """What an ordinary hour is made of: lookups, objects, uses of the key service, listings, and our own lines."""
    from local.stand_ins import audit_log  # noqa: PLC0415

    dice, at = random.Random(5), datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # noqa: S311
    accounts = [f"{name}-functions@demo-astra.iam.gserviceaccount.com" for name in ("signup", "uploads", "usage")]
    found: list[dict[str, Any]] = []
    while len(found) < _ENTRIES:
        who, uid = dice.choice(accounts), f"person-{dice.randrange(400):027}"
        when = at + timedelta(seconds=len(found) // 10)
        found += [
            audit_log.read(when, who, f"users/{uid}", f"users/{uid}/images/ring-0001"),
            audit_log.object_read(when, who, f"images/{uid}/ring-0001"),
            audit_log.decrypted(when, who) if dice.random() < 0.2 else audit_log.listed(when, who, "users"),
            audit_log.own(when, "image.opened", actor="f" * 64, bytes=9),
            audit_log.committed(when, who, sets=[f"users/{uid}/events/e{len(found)}"]),
        ]
    dice.shuffle(found)
    return audit_log.wire(*found[:_ENTRIES])


def measure() -> Iterator[str]:
    """Best of several rounds of each; what is delivered again costs the same."""
    from astra.runtime.platform import Platform  # noqa: PLC0415  (the child's imports: the environment is the stack's)
    from breach.detection.audit_log import decode  # noqa: PLC0415
    from breach.detection.watch import watch  # noqa: PLC0415
    from breach.settings import TickSettings  # noqa: PLC0415
    from breach.thresholds import Thresholds  # noqa: PLC0415

    platform: Any = Platform(TickSettings)
    quiet = Thresholds(images_opened=10**9, decrypts=10**9)
    platform.__dict__["settings"] = platform.settings.model_copy(update={"thresholds": quiet})
    messages = entries()
    for size in _BATCHES:
        share = messages if size > 1 else messages[: _ENTRIES // 10]
        batches = [share[first : first + size] for first in range(0, len(share), size)]
        bare, ours = best(
            lambda batches=batches: [[decode(message) for message in batch] and None for batch in batches],
            lambda batches=batches: [watch(platform, batch) for batch in batches],
        )
        rate, base = len(share) / ours, len(share) / bare
        name = "detect" if size == _BATCHES[0] else f"detect-{size}"
        yield f"{name}: {rate:.0f} events/s in batches of {size} (baseline {base:.0f} decoded, ratio {rate / base:.2f})"


def best(*works: Callable[[], Any]) -> list[float]:
    """Seconds of the best of several rounds of each, in turn: a busy moment of the machine meets all of them."""
    rounds: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for number, work in enumerate(works):
            began = time.perf_counter()
            work()
            rounds[number].append(time.perf_counter() - began)
    return [min(times) for times in rounds]


if __name__ == "__main__":
    for line in measure():
        say(line)
