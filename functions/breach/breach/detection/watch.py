"""The watch: reads audit log entries, applies the detectors, opens incidents.

Why no entry is lost, and none counts twice: what an entry shows by itself opens its case before anything is counted,
and a case has one name however often it is opened. Counts are sets, to which adding again adds nothing. Where Redis
does not answer, the entries are not acknowledged and come again. What can't be read is said in the log, and let go: it
would come again for ever.

One request to Redis for a batch, and another only if somebody has a busy hour.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache, partial
from typing import Final

import redis

from astra.runtime import log
from astra.runtime.platform import Platform

from breach.detection import correlate, rates
from breach.detection.audit_log import Detector, LogEntry, Mark, Severity, Signal, Unreadable, decode, hour_of
from breach.detection.rules import Watch, instant
from breach.settings import WatchSettings
from breach.thresholds import DEPLOYING

HEARD: Final = "watch:heard"
_COUNT_LIFETIME: Final = timedelta(hours=3)
THOROUGH: Final = ("assessment-functions", "campaigns-functions", "erasure-functions", "retention-functions")
"""Accounts whose work goes through all users: who is affected by a breach, a campaign's notices, the roll call, the
warnings of inactive users."""

# One command for all counts: a pipeline of three for each would take the client longer than all else it does.
# ARGV: the seconds that counts are kept; the time, if entries of access were heard of, for the first key; then for each
# other key how many elements it gains, and these. Lua unpacks no more than some thousands at once.
_COUNT: Final = """
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2])
end
local counts, at = {}, 3
for number = 2, #KEYS do
  local last = at + ARGV[at]
  for first = at + 1, last, 1000 do
    redis.call('PFADD', KEYS[number], unpack(ARGV, first, math.min(first + 999, last)))
  end
  redis.call('EXPIRE', KEYS[number], ARGV[1])
  counts[number - 1] = redis.call('PFCOUNT', KEYS[number])
  at = last + 1
end
return counts
"""


def watch(platform: Platform[WatchSettings], messages: Sequence[bytes]) -> list[str]:
    """Look at a batch of entries. Answers the cases that it concerns; raises redis.RedisError, to be given it again."""
    seen = _watch(platform)
    found: list[Signal] = []
    marks: list[Mark] = []
    heard = False
    for entry in _entries(messages):
        found += instant(entry, seen)
        marks += rates.marks(entry, seen)
        heard |= entry.is_of_access
    opened = correlate.open_all(platform, found)
    try:
        counted = _count(platform, seen, marks, heard=heard)
    except redis.RedisError as error:
        log.failure(log.Event.WATCH_DOWN, error, severity=logging.CRITICAL)
        raise
    return opened + correlate.open_all(platform, counted)


def _entries(messages: Sequence[bytes]) -> Iterable[LogEntry]:
    for message in messages:
        try:
            yield decode(message)
        except Unreadable as error:
            log.failure(log.Event.WATCH_UNREADABLE, error)


def _count(platform: Platform[WatchSettings], seen: Watch, marks: list[Mark], *, heard: bool) -> list[Signal]:
    """Add the marks to their counts. Answers what these say now. Our own lines and administrators' acts come though
    the log of who reads what is cut off: they are not `heard`."""
    client, thresholds = platform.redis, platform.settings.thresholds
    groups: dict[tuple[Detector, str, int], list[Mark]] = {}
    for mark in marks:
        groups.setdefault(mark[:3], []).append(mark)
    if not groups and not heard:
        return []
    keys = [HEARD, *(f"watch:{detector}:{about}:{hour}" for detector, about, hour in groups)]
    arguments: list[str | int] = [
        int(_COUNT_LIFETIME.total_seconds()),
        int(platform.clock().timestamp()) if heard else "",
    ]
    for group in groups.values():
        elements = {mark.element for mark in group}
        arguments += (len(elements), *elements)
    counts = client.register_script(_COUNT)(keys=keys, args=arguments)
    latest = (next((mark for mark in group if mark.whole), group[-1]) for group in groups.values())
    limits = ((mark, count, rates.floor(mark, seen, thresholds)) for mark, count in zip(latest, counts, strict=True))
    busy = [one for one in limits if rates.is_busy(*one, thresholds.factor)]
    if not busy:
        return []
    pipe = client.pipeline(transaction=False)
    for mark, count, _ in busy:
        past = f"watch:past:{mark.detector}:{mark.about}"
        pipe.hgetall(past)
        pipe.hset(past, mark.hour, count)
        pipe.expire(past, rates.PAST)
    pasts = pipe.execute()[::3]
    found = []
    for (mark, count, floor), past in zip(busy, pasts, strict=True):
        oldest = hour_of(mark.at - rates.PAST)
        recent = {int(hour): int(number) for hour, number in past.items() if int(hour) >= oldest}
        if signal := rates.judge(mark, count, recent, floor, thresholds.factor):
            found.append(signal)
    return found


def _watch(platform: Platform[WatchSettings]) -> Watch:
    host = f"{platform.app.project_id}.iam.gserviceaccount.com"
    thorough = frozenset(f"{account}@{host}" for account in THOROUGH)
    deployers, is_deploying = frozenset(platform.settings.deployers), cache(partial(_is_deploying, platform))
    return Watch(platform.pseudonyms, deployers, is_deploying, thorough)


def _is_deploying(platform: Platform[WatchSettings]) -> bool:
    try:
        return bool(platform.redis.exists(DEPLOYING))
    except redis.RedisError:
        return False  # then it is looked at once too often


def listen(platform: Platform[WatchSettings]) -> None:
    """Open a case if the audit log has fallen silent, or if nobody can tell. Never heard of is silent too."""
    silent, now = platform.settings.silent_minutes, platform.clock()
    try:
        heard = platform.redis.get(HEARD)
    except redis.RedisError as error:
        log.failure(log.Event.WATCH_DOWN, error, severity=logging.CRITICAL)
        blind = Signal(Detector.WATCH_BLIND, Severity.TODAY, "redis", now, f"blind {now:%Y%m%d%H}")
        correlate.open_all(platform, [blind])
        return
    last = int(str(heard)) if heard else 0
    if silent and now.timestamp() - last > silent * 60:
        told = Signal(Detector.AUDIT_SILENT, Severity.GETS_SOMEBODY_UP, "audit log", now, f"silent {now:%Y%m%d%H}")
        correlate.open_all(platform, [told])
