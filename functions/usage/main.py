"""Usage events: triggers and options."""

from datetime import timedelta
from functools import partial

from firebase_functions import scheduler_fn
from gunicorn.config import LimitRequestFieldSize

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import Group, defaults
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import RedisSettings

from usage import events, record

defaults(cpu=1, concurrency=4, max_instances=20)
USAGE = Group("usage-functions", RedisSettings)
# The server would refuse a user agent of over 8 KiB before it is reduced; it takes what this says when it starts.
LimitRequestFieldSize.default = 16 * 1024


# Who has more to tell than two events a second sends them together. What is gathered and what is committed are counted
# apart, so much of each.
LIMIT = Limit(120)
FLUSH_TIMEOUT = 300


@callables.on_call(USAGE, events.LogEvent, LIMIT, partial(record.gather, USAGE.platform, LIMIT))
def log_event(call: Call[events.LogEvent]) -> Answer:
    return record.log_event(USAGE.platform, call)


@scheduler_fn.on_schedule(
    **USAGE.options(schedule="every 1 minutes", timeout_sec=FLUSH_TIMEOUT, cpu=0.2, concurrency=1, max_instances=1)
)
@USAGE.serves
def flush(_event: scheduler_fn.ScheduledEvent) -> None:
    record.flush(USAGE.platform, budget=timedelta(seconds=FLUSH_TIMEOUT * 0.7))
