"""Recording usage events of a signed-in user.

Whoever has logged nothing in this minute has their event committed, with the assertion that nobody erases them; that
opens the minute for them, and what else they log in it is gathered in Redis, for `flush` to write. What has an `id` of
the client's, or comes as a batch, is a document of its own, committed at once.
"""

import contextlib
import json
import secrets
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Lock
from typing import Any, Final
from zlib import crc32

from cachetools import LRUCache, cached
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from astra.accounts import tombstones
from astra.datamap.lookup import lives
from astra.erasure import change_gate
from astra.erasure.change_gate import Bar, Barred
from astra.runtime import log, rate_limits
from astra.runtime.callables import Answer, Call
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import RedisSettings

from usage import buffer, user_agent
from usage.events import Batch, Event, LogEvent
from usage.user_agent import Device

EVENTS: Final = "events"
_MAX_EVENT_AGE: Final = timedelta(days=7)
_LIFE: Final = lives(EVENTS)
_MAX_REMEMBERED_USERS: Final = 10_000
HANDS: Final = 8
"""How many users' events are written side by side."""
#: Of one user in one commit, which has a limit.
_MAX_DEVICES_OF_ONE_COMMIT: Final = 100


def gather(platform: Platform[RedisSettings], limit: Limit, call: Call[LogEvent]) -> Answer | None:
    """Keep an event in Redis, if its minute is open, counted towards `limit`; raises TooMany. None if it is not kept:
    it has to be committed. What was answered is not lost."""
    uid, asked, now = call.caller.uid, call.data.root, platform.clock()
    if isinstance(asked, Batch) or asked.id:
        return None
    device = user_agent.reduced(call.user_agent)
    record = _record(asked, now)
    event = {**record, "at": record["at"].timestamp(), "device": [device.kind, device.browser, device.major]}
    with rate_limits.if_redis_answers():
        kept = buffer.keep(platform.redis, uid, _minute(uid, now), {"id": _new_id(), **event}, limit)
        return {} if kept else None
    return None


def log_event(platform: Platform[RedisSettings], call: Call[LogEvent]) -> Answer:
    """Commit what was sent, reduced, and let what follows be gathered. What was answered is not lost.

    A request with an `id` that is there already is success and changes nothing: its first answer got lost.
    """
    uid, asked, now = call.caller.uid, call.data.root, platform.clock()
    minute = _minute(uid, now)
    _see_active(platform.db, uid, minute)
    events = asked.events if isinstance(asked, Batch) else [asked]
    records = [_record(event, now) for event in events]
    fields = _fields(records, user_agent.reduced(call.user_agent), now, together=isinstance(asked, Batch))
    is_prepared = _prepared(platform, uid, minute)
    batch = platform.db.batch()
    batch.create(_reference(platform.db, uid, asked.id or _new_id()), fields)
    try:
        tombstones.commit_unless_erased(batch, platform.db, platform.pseudonyms.of_uid(uid))
    except AlreadyExists:
        pass
    except tombstones.Erased:
        rate_limits.close(platform.redis, uid)
        raise Barred(Bar.ERASING) from None
    if is_prepared:
        with rate_limits.if_redis_answers():
            buffer.open_prepared(platform.redis, uid, minute)
    return {}


def flush(platform: Platform[RedisSettings], budget: timedelta) -> None:
    """Write what was gathered, of each user as one document for each device, with one assertion that nobody erases
    them. What can't be written, or not within `budget`, stays for the next time and delays nobody else's."""
    until = platform.clock() + budget

    def write(uid: str) -> bool:
        if platform.clock() > until:
            return False
        try:
            _write(platform, uid)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one: the others are written)
            log.failure(log.Event.EVENTS_LEFT, error, subject=platform.pseudonyms.of_uid(uid))
        return True

    with ThreadPoolExecutor(HANDS) as hands:
        late = sum(not in_time for in_time in hands.map(write, buffer.waiting(platform.redis)))
    if late:
        log.write(log.Event.FLUSH_LATE, people=late)


def _write(platform: Platform[RedisSettings], uid: str) -> None:
    taken = buffer.take(platform.redis, uid)
    if not taken:
        return
    now, by_device = platform.clock(), defaultdict(list)
    for event in map(json.loads, taken):
        by_device[tuple(event["device"])].append(event)
    waiting = iter(by_device.items())
    while some := list(islice(waiting, _MAX_DEVICES_OF_ONE_COMMIT)):
        batch = platform.db.batch()
        for device, events in some:
            records = [
                {"event": event["event"], "props": event["props"], "at": datetime.fromtimestamp(event["at"], UTC)}
                for event in events
            ]
            fields = _fields(records, Device(*device), now, together=len(events) > 1)
            # Taken again after a crash it is the same document, which is there then.
            batch.create(_reference(platform.db, uid, events[0]["id"]), fields)
        with contextlib.suppress(AlreadyExists, tombstones.Erased):
            tombstones.commit_unless_erased(batch, platform.db, platform.pseudonyms.of_uid(uid))
    buffer.done(platform.redis, uid, taken)


def _fields(records: list[dict[str, Any]], device: Device, now: datetime, *, together: bool) -> dict[str, Any]:
    """A document of one event or, `together`, of several."""
    return {
        **({"events": records} if together else records[0]),
        "device": device.kind,
        "browser": device.browser,
        "browserMajor": device.major,
        "createdAt": now,
        "expireAt": min(record["at"] for record in records) + _LIFE,
    }


def _record(event: Event, now: datetime) -> dict[str, Any]:
    at = now
    if event.at is not None:
        # A clock that is ahead must not make an event live longer.
        at = min(now, datetime.fromtimestamp(event.at / 1000, UTC))
    if now - at > _MAX_EVENT_AGE:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "at: is more than 7 days ago")
    return {"event": event.event, "props": event.props.model_dump(exclude_none=True), "at": at}


def _reference(db: firestore.Client, uid: str, name: str) -> firestore.DocumentReference:
    return db.document("users", uid, EVENTS, name)


def _new_id() -> str:
    return secrets.token_hex(10)


def _minute(uid: str, now: datetime) -> int:
    # Everybody's begins at a second of their own: else all of them were asked for at once.
    return int((now.timestamp() + crc32(uid.encode()) % 60) // 60)


def _prepared(platform: Platform[RedisSettings], uid: str, minute: int) -> bool:
    """Whether `minute` is to be opened once what is sent is committed."""
    with rate_limits.if_redis_answers():
        return buffer.prepare(platform.redis, uid, minute)
    return False


@cached(LRUCache(_MAX_REMEMBERED_USERS), key=lambda _db, uid, minute: (uid, minute), lock=Lock())
def _see_active(db: firestore.Client, uid: str, _minute: int) -> None:
    """Refuse who has no profile, or one that is frozen. Asked once a minute: whoever sends many events pays one read,
    and a freeze counts within that minute. An erasure counts at once: the commit itself asserts that there is none."""
    if bar := change_gate.state_bar(None, db.document("users", uid).get(["state"])):
        raise Barred(bar)
