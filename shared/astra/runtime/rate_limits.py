"""Rate limits in Redis, by caller and by network.

Every key of a user is named in that user's index, so that erasure reads one set instead of the whole keyspace, and
every key has a time to live, so that a forgotten one goes by itself.

    rate:<hash>                  requests of a user or a network in the current window, with which the hash goes
    user:{<uid>}:keys            set of the user's keys
    user:{<uid>}:rate:<action>   requests in the current window
    user:{<uid>}:active          the minute in which their usage events are gathered in Redis (`usage`)

The braces are part of the names: they keep one user's keys together in a cluster.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import redis

from astra.runtime import http, log
from astra.runtime.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from flask import Request

# One round trip, and no moment at which a counter lives without its expiry or its index entry.
_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  if KEYS[2] then
    redis.call('SADD', KEYS[2], KEYS[1])
    if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[1]) then
      redis.call('PEXPIRE', KEYS[2], ARGV[1])
    end
  end
end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True)
class Limit:
    """How often one caller may call in a `window`. Where security is at stake and not only load, `fails_closed`."""

    most: int
    window: timedelta = timedelta(minutes=1)
    fails_closed: bool = False


class Unknown(Exception):
    """Redis can't say how often this was asked, and the limit fails closed."""


class TooMany(Exception):
    """The window is full; it opens again after `retry_after`, as the message tells whoever asked."""

    def __init__(self, retry_after: timedelta) -> None:
        self.retry_after = retry_after
        self.seconds = max(1, math.ceil(retry_after.total_seconds()))
        """`retry_after` in whole seconds, at least one."""
        self.headers = {"Retry-After": str(self.seconds)}
        """Of an answer that says so."""
        super().__init__(f"Too many requests: try again in {self.seconds} s.")


def index_of(uid: str) -> str:
    """The key of the set that names every key of `uid`."""
    return f"user:{{{uid}}}:keys"


def active_of(uid: str) -> str:
    """The key that lets usage events of `uid` be gathered."""
    return f"user:{{{uid}}}:active"


def close(client: redis.Redis, uid: str) -> None:
    """Let nothing more of `uid` be gathered: they are being erased. Where Redis is down nothing can be, and the key's
    minute ends by itself."""
    with if_redis_answers(), client.pipeline() as both:
        both.delete(active_of(uid))
        both.srem(index_of(uid), active_of(uid))
        both.execute()


@contextlib.contextmanager
def if_redis_answers() -> Iterator[None]:
    """Leaves off what is of use only then; the log says so."""
    try:
        yield
    except redis.RedisError as error:
        log.failure(log.Event.GATHERING_DOWN, error)


def connect(url: str) -> redis.Redis:
    """A client that gives up within half a second: a dead Redis must not hold up a request."""
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=None, decode_responses=True)


class Limits:
    """Counts requests."""

    def __init__(self, client: redis.Redis, pseudonyms: Pseudonyms) -> None:
        self._script = client.register_script(_COUNT)
        self._pseudonyms = pseudonyms

    def count(self, uid: str, action: str, most: int, window: timedelta) -> None:
        """Count one request in the user's own keys, for whom no erasure is under way; raises TooMany."""
        self._count([f"user:{{{uid}}}:rate:{action}", index_of(uid)], Limit(most, window))

    def admit(self, who: str, action: str, limit: Limit) -> None:
        """Count one request of `who`, a user or a network, of whom no more than a hash is kept, and no longer than the
        window; raises TooMany, or Unknown."""
        self._count([f"rate:{self._pseudonyms.of_request(action, who)}"], limit)

    def admit_network(self, request: "Request", action: str, limit: Limit) -> None:
        """`admit` the network that a request comes from."""
        self.admit(f"network {http.of(request)}", action, limit)

    def _count(self, keys: list[str], limit: Limit) -> None:
        try:
            count, remaining = self._script(keys=keys, args=[int(limit.window.total_seconds() * 1000)])
        except redis.RedisError as error:
            log.failure(log.Event.LIMITER_DOWN, error, closed=limit.fails_closed)
            if limit.fails_closed:
                raise Unknown from None
            return  # only load is at stake
        if count > limit.most:
            raise TooMany(timedelta(milliseconds=remaining))
