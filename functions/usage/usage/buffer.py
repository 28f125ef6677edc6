"""The event buffer in Redis: events of one minute, written as one document.

Under the keys of their user, in one slot of a cluster, each with a time to live and in the user's index:

    user:{<uid>}:active         the minute in which events are gathered, or with a minus before it the one in which they
                                will be, once a commit has shown that nobody erases them; goes when somebody does
    user:{<uid>}:events         list: what was gathered, as JSON
    user:{<uid>}:events:taken   list: what is being written, which changes no more until it is there
"""

import functools
import json
import os
import re
import threading
from datetime import timedelta
from typing import Any, Final

import redis
from redis.commands.core import Script

from astra.runtime.rate_limits import Limit, TooMany, active_of, index_of


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


_OPEN_MILLISECONDS: Final = _milliseconds(timedelta(minutes=1))
#: Longer than the database is ever out of reach. `flush` is there each minute.
_LIFE_MILLISECONDS: Final = _milliseconds(timedelta(days=7))
#: Of one user: more are written one by one, for `flush` has not been there for long.
_MAX_USER_EVENTS: Final = 1000
_KEY: Final = re.compile(r"user:\{(.+)\}:events(:taken)?")

_INDEXED: Final = """
local function indexed(index, key, life)
  redis.call('SADD', index, key)
  if redis.call('PTTL', index) < life then redis.call('PEXPIRE', index, life) end
end
"""
_PREPARE: Final = f"""{_INDEXED}
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '-' .. ARGV[1], 'PX', {_OPEN_MILLISECONDS})
indexed(KEYS[2], KEYS[1], {_OPEN_MILLISECONDS})
return 1
"""
_OPEN: Final = f"""
if redis.call('GET', KEYS[1]) == '-' .. ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', {_OPEN_MILLISECONDS}) end
"""
# One round trip: is it open, is there room in the window, keep.
_KEEP: Final = f"""{_INDEXED}
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('LLEN', KEYS[2]) >= {_MAX_USER_EVENTS} then return 0 end
local count = redis.call('INCR', KEYS[3])
if count == 1 then
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
  indexed(KEYS[4], KEYS[3], tonumber(ARGV[4]))
end
if count > tonumber(ARGV[3]) then return -math.max(1, redis.call('PTTL', KEYS[3])) end
if redis.call('RPUSH', KEYS[2], ARGV[2]) == 1 then
  redis.call('PEXPIRE', KEYS[2], {_LIFE_MILLISECONDS})
  indexed(KEYS[4], KEYS[2], {_LIFE_MILLISECONDS})
end
return 1
"""
# What was taken and not written, by a worker that died, before what came since.
_TAKE: Final = f"""{_INDEXED}
if redis.call('EXISTS', KEYS[1]) == 0 and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('RENAME', KEYS[2], KEYS[1])
  indexed(KEYS[3], KEYS[1], redis.call('PTTL', KEYS[1]))
end
return redis.call('LRANGE', KEYS[1], 0, -1)
"""
# Only what its worker has written: another may have been faster, and have taken more. The index then lives as long as
# what it still names.
_DONE: Final = """
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return end
redis.call('DEL', KEYS[1])
local longest = 0
for _, key in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local left = redis.call('PTTL', key)
  if left == -2 then redis.call('SREM', KEYS[2], key) end
  longest = math.max(longest, left)
end
redis.call('PEXPIRE', KEYS[2], longest)
"""


def _events_of(uid: str) -> str:
    return f"user:{{{uid}}}:events"


def _taken_of(uid: str) -> str:
    return f"{_events_of(uid)}:taken"


@functools.cache
def _script(client: redis.Redis, code: str) -> Script:
    return client.register_script(code)


class _OwnConnections(threading.local):
    """This thread's own connection to each Redis: a client's pool and bookkeeping are half of what a call takes. One
    that Redis has cut fails once, and is made anew."""

    def __init__(self) -> None:
        # Not those of the process that this one was forked from.
        self._script = functools.cache(lambda client, code, _process: client.client().register_script(code))

    def evaluate(self, client: redis.Redis, code: str, keys: list[str], args: list[Any]) -> Any:
        """What `code` answers. Raises RedisError."""
        script: Script = self._script(client, code, os.getpid())
        connection: Any = script.registered_client.connection  # type: ignore[union-attr]
        try:
            connection.send_command("EVALSHA", script.sha, len(keys), *keys, *args)
            return connection.read_response()
        except redis.exceptions.NoScriptError:
            return script(keys=keys, args=args)


_CONNECTIONS: Final = _OwnConnections()


def prepare(client: redis.Redis, uid: str, minute: int) -> bool:
    """Have `minute` wait for `open_prepared`; answers whether it has to. An erasure takes the key away (`limits.close`)
    once its tombstone is written. So whoever prepares, then asserts that there is no tombstone, and then opens, opens
    nothing to anybody who is being erased, in whatever order these come."""
    return bool(_script(client, _PREPARE)(keys=[active_of(uid), index_of(uid)], args=[minute]))


def open_prepared(client: redis.Redis, uid: str, minute: int) -> None:
    """Let what `uid` logs in `minute` be gathered, if that is prepared."""
    _script(client, _OPEN)(keys=[active_of(uid)], args=[minute])


def keep(client: redis.Redis, uid: str, minute: int, event: dict[str, Any], limit: Limit) -> bool:
    """Count and keep an event, if `minute` is open; raises TooMany. Answers whether it is kept."""
    keys = [active_of(uid), _events_of(uid), f"user:{{{uid}}}:rate:log_event", index_of(uid)]
    args: list[str | int | float] = [minute, json.dumps(event), limit.most, _milliseconds(limit.window)]
    kept: int = _CONNECTIONS.evaluate(client, _KEEP, keys, args)
    if kept < 0:
        raise TooMany(timedelta(milliseconds=-kept))
    return kept > 0


def waiting(client: redis.Redis) -> set[str]:
    """Of whom something is gathered."""
    keys = client.scan_iter(match="user:{*}:events*", count=1000, _type="LIST")
    return {found[1] for key in keys if (found := _KEY.fullmatch(str(key)))}


def take(client: redis.Redis, uid: str) -> list[str]:
    """What is to be written of `uid`, as JSON: the same again, until it is `done`."""
    return _script(client, _TAKE)(keys=[_taken_of(uid), _events_of(uid), index_of(uid)])  # type: ignore[no-any-return]


def done(client: redis.Redis, uid: str, taken: list[str]) -> None:
    """Forget what was `taken`: it is written."""
    _script(client, _DONE)(keys=[_taken_of(uid), index_of(uid)], args=[taken[0]])
