"""Benchmark: `log_event` under twenty clients, beside an empty callable and one that commits.

All are served as in production, called alike and in turn; what each costs in the database is counted.
"""

import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from bench import OFFSET
from local.demo.client import unsigned_token
from local.paths import ROOT
from local.stack.served import Served, serving
from local.stack.stack import Stack

_CLIENTS = 20
_EACH = 60
_ROUNDS = 8
_EVENTS = 1_000
_BATCH = 20
_PEOPLE, _THEIRS = 1_000, 10
_AGENTS = tuple(
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{n}.0.0.0 Safari/537.36"
    for n in range(100, 130)
)
_BASELINES = {
    "nothing": ("", "an empty callable"),
    "one_commit": ("-vs-commit", "a callable that creates one document and does nothing else"),
}
_EVENT = {"event": "page_viewed", "props": {"page": "gallery", "seconds": 12}}


def run() -> Iterator[str]:
    """Starts what it needs of the local stack, and stops it."""
    with Stack(only=("auth", "firestore"), offset=OFFSET, timer=None) as stack, tempfile.TemporaryDirectory() as logs:
        environment = stack.environment()
        functions = [(ROOT / "functions/usage/main.py", "log_event")]
        functions += [(ROOT / "bench/callables.py", name) for name in _BASELINES]
        with serving(functions, environment, Path(logs)) as served:
            host = environment["FIRESTORE_EMULATOR_HOST"]
            documents = f"http://{host}/v1/projects/{stack.project}/databases/(default)/documents"
            yield from latency(served, stack.project, documents)
        whole = os.environ | environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions/usage'}"}
        command = [sys.executable, "-m", "bench.callable"]
        done = subprocess.run(command, cwd=ROOT, env=whole, stdout=subprocess.PIPE, text=True, check=True)
        yield from done.stdout.splitlines()


def latency(served: dict[str, Served], project: str, documents: str) -> Iterator[str]:
    """Percentiles over all rounds but the first, which warms them up. `documents` is the database's address."""
    # Enough people that nobody is told to come back later.
    people = [secrets.token_hex(14) for _ in range(_CLIENTS * _EACH // 8)]
    for uid in people:
        fields = {"fields": {"state": {"stringValue": "active"}}}
        httpx.patch(
            f"{documents}/users/{uid}", json=fields, headers={"Authorization": "Bearer owner"}
        ).raise_for_status()
    tokens = [unsigned_token(project, sub=uid, user_id=uid) for uid in people]
    taken: dict[str, list[float]] = {name: [] for name in served}
    for turn in range(_ROUNDS + 1):
        for name, times in taken.items():
            seconds = _round(served[name], tokens)
            if turn:
                times.extend(seconds)
    for percentile in (50, 95):
        at = {name: statistics.quantiles(times, n=100)[percentile - 1] * 1000 for name, times in taken.items()}
        ours = at["log_event"]
        for name, (suffix, what) in _BASELINES.items():
            told = f"{ours:.1f} ms (baseline {at[name]:.1f} ms {what}, ratio {ours / at[name]:.2f})"
            yield f"callable-p{percentile}{suffix}: {told}"


def _round(served: Served, tokens: list[str]) -> list[float]:
    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        times = []
        for turn in range(_EACH):
            headers = {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {tokens[(number * _EACH + turn) % len(tokens)]}",
                "User-Agent": _AGENTS[turn % len(_AGENTS)],
            }
            began = time.perf_counter()
            connection.request("POST", "/", json.dumps({"data": _EVENT}), headers)
            answer = connection.getresponse()
            body = answer.read()
            times.append(time.perf_counter() - began)
            assert json.loads(body) == {"result": {}}, body
        connection.close()
        return times

    with ThreadPoolExecutor(_CLIENTS) as clients:
        return [seconds for times in clients.map(client, range(_CLIENTS)) for seconds in times]


def cost() -> Iterator[str]:
    """What leaves for Firestore for a thousand events; the baseline reads the tombstone in a transaction."""
    sent = [_counted(way) for way in (_in_transactions, _singly, _together, _gathered)]
    (calls, reads, _, _), single, batch, gathered = sent
    kinds = f"{single[2] - single[3]} creates, {single[3]} assertions, {single[1]} reads"
    yield (
        f"log-event-calls: {single[0]} requests for {_EVENTS} events: {kinds}"
        f" (baseline {calls} with {reads} reads in transactions, ratio {single[0] / calls:.2f})"
    )
    yield (
        f"log-event-writes-by-{_BATCH}: {batch[2]} writes for {_EVENTS} events, {batch[3]} of them assertions"
        f" (baseline {single[2]} singly, ratio {batch[2] / single[2]:.2f})"
    )
    yield (
        f"log-event-writes-{_BATCH}-a-minute: {gathered[2]} writes for {_EVENTS} events, {gathered[3]} of them"
        f" assertions, {gathered[1]} reads (baseline {single[2]} singly, ratio {gathered[2] / single[2]:.2f})"
    )


def flushing() -> Iterator[str]:
    """How fast `flush` writes what many have done in a minute, against as many bare documents by as many threads."""
    from astra.runtime.platform import Platform  # noqa: PLC0415
    from astra.runtime.rate_limits import Limit  # noqa: PLC0415
    from astra.runtime.settings import RedisSettings  # noqa: PLC0415
    from usage import buffer  # noqa: PLC0415
    from usage import record as usage_record  # noqa: PLC0415

    platform, people = Platform(RedisSettings), [secrets.token_hex(14) for _ in range(_PEOPLE)]
    record = {"event": "page_viewed", "props": {}, "at": 1.8e9, "device": ["desktop", "Chrome", 124]}
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for uid in people:
            buffer.prepare(platform.redis, uid, 1)
            buffer.open_prepared(platform.redis, uid, 1)
            for _ in range(_THEIRS):
                buffer.keep(platform.redis, uid, 1, {"id": secrets.token_hex(10), **record}, Limit(3 * _THEIRS))
        began = time.perf_counter()
        usage_record.flush(platform, timedelta(minutes=10))
        rates[0].append(_PEOPLE / (time.perf_counter() - began))
        began = time.perf_counter()
        with ThreadPoolExecutor(usage_record.HANDS) as hands:
            list(hands.map(lambda uid: platform.db.collection("users", uid, "events").add({"at": 1}), people))
        rates[1].append(_PEOPLE / (time.perf_counter() - began))
    ours, bare = map(statistics.median, rates)
    yield (
        f"log-event-flush: {ours:.0f} users of {_THEIRS} events a second"
        f" (baseline {bare:.0f} bare documents, ratio {ours / bare:.2f})"
    )


def _counted(way: Callable[[Any, Any], None]) -> tuple[int, int, int, int]:
    from astra.runtime.callables import Caller  # noqa: PLC0415
    from astra.runtime.platform import Platform  # noqa: PLC0415
    from astra.runtime.settings import RedisSettings  # noqa: PLC0415
    from bench.wire import Meter  # noqa: PLC0415

    uid = secrets.token_hex(14)
    Platform(RedisSettings).db.document(f"users/{uid}").set({"state": "active"})
    meter, platform = Meter(), Platform(RedisSettings)  # it counts the clients that are made after it
    way(platform, Caller(uid, platform.clock(), ""))
    return meter.calls, meter.reads, meter.writes, meter.deletes


def _singly(platform: Any, caller: Any) -> None:
    _log(platform, caller, [_EVENT] * _EVENTS)


def _together(platform: Any, caller: Any) -> None:
    _log(platform, caller, [{"events": [_EVENT] * _BATCH}] * (_EVENTS // _BATCH))


def _gathered(platform: Any, caller: Any) -> None:
    from astra.runtime.callables import Call, parse  # noqa: PLC0415
    from astra.runtime.rate_limits import Limit  # noqa: PLC0415
    from usage import events  # noqa: PLC0415
    from usage import record as usage_record  # noqa: PLC0415

    call, began = Call(parse(events.LogEvent, _EVENT), caller, user_agent=_AGENTS[0]), platform.clock()
    platform.redis.flushdb()  # what others logged before
    for minute in range(_EVENTS // _BATCH):
        platform.clock = lambda: began + timedelta(minutes=minute)
        for _ in range(_BATCH):
            if usage_record.gather(platform, Limit(_EVENTS), call) is None:
                usage_record.log_event(platform, call)
        usage_record.flush(platform, timedelta(minutes=1))


def _log(platform: Any, caller: Any, requests: list[Any]) -> None:
    from astra.runtime.callables import Call, parse  # noqa: PLC0415
    from usage import events  # noqa: PLC0415
    from usage import record as usage_record  # noqa: PLC0415

    for request in requests:
        usage_record.log_event(platform, Call(parse(events.LogEvent, request), caller, _AGENTS[0]))


def _in_transactions(platform: Any, caller: Any) -> None:
    from astra.accounts import tombstones  # noqa: PLC0415
    from astra.runtime.firestore import transact  # noqa: PLC0415

    def body(transaction: Any) -> None:
        tombstones.refuse_erased(transaction, platform.db, platform.pseudonyms.of_uid(caller.uid))
        transaction.create(platform.db.collection("users", caller.uid, "events").document(), dict(_EVENT))

    for _ in range(_EVENTS):
        transact(platform.db, body)


if __name__ == "__main__":
    for line in (*cost(), *flushing()):
        print(line, flush=True)
