"""Usage: what somebody did in the application, with which kind of device and browser, and nothing that tells who."""

from datetime import timedelta
from functools import partial

from firebase_functions import options, scheduler_fn
from gunicorn.config import LimitRequestFieldSize

from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.settings import RedisSettings

import events
import recording

PLATFORM = Platform.at_start(RedisSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "usage-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"]
# The server would refuse a user agent of over 8 KiB before it is reduced; it takes what this says when it starts.
LimitRequestFieldSize.default = 16 * 1024


# Who has more to tell than two events a second sends them together. What is gathered and what is committed are counted
# apart, so much of each.
LIMIT = Limit(120)
FLUSH_TIMEOUT = 300


@callables.on_call(
    PLATFORM,
    events.LogEvent,
    LIMIT,
    partial(recording.gather, PLATFORM, LIMIT),
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
)
def log_event(call: Call[events.LogEvent]) -> Answer:
    return recording.log_event(PLATFORM, call)


@scheduler_fn.on_schedule(
    schedule="every 1 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=FLUSH_TIMEOUT,
    max_instances=1,
    concurrency=1,
)
@callables.guarded
def flush(_event: scheduler_fn.ScheduledEvent) -> None:
    recording.flush(PLATFORM, budget=timedelta(seconds=FLUSH_TIMEOUT * 0.7))
