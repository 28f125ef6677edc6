"""Request counters per user, in Redis.

Every key of a user is named in that user's index, so that erasure reads one set instead of the whole keyspace, and
every key has a time to live, so that a forgotten one goes by itself.

    user:{<uid>}:keys            set of the user's keys
    user:{<uid>}:rate:<action>   requests in the current window

The braces are part of the names: they keep one user's keys together in a cluster.
"""

from datetime import timedelta
from typing import Final

import redis

from astra import log

# One round trip, and no moment at which a counter lives without its expiry or its index entry.
_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('SADD', KEYS[2], KEYS[1])
  if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[1])
  end
end
return {count, redis.call('PTTL', KEYS[1])}
"""


class TooMany(Exception):
    """The window is full; it opens again after `retry_after`."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


def index_of(uid: str) -> str:
    """The key of the set that names every key of `uid`."""
    return f"user:{{{uid}}}:keys"


def connect(url: str) -> redis.Redis:
    """A client that gives up within half a second: a dead Redis must not hold up a request."""
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=None, decode_responses=True)


class Limits:
    """Counts requests. Only load is at stake here, so an unreachable Redis lets requests through, with a log line."""

    def __init__(self, client: redis.Redis) -> None:
        self._count = client.register_script(_COUNT)

    def count(self, uid: str, action: str, most: int, window: timedelta) -> None:
        """Count one request of `uid`; raises TooMany beyond `most` in a `window`."""
        milliseconds = int(window.total_seconds() * 1000)
        try:
            count, remaining = self._count(keys=[f"user:{{{uid}}}:rate:{action}", index_of(uid)], args=[milliseconds])
        except redis.RedisError as error:
            log.failure(log.Event.LIMITER_DOWN, error)
            return
        if count > most:
            raise TooMany(timedelta(milliseconds=remaining))
