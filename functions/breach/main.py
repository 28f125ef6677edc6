"""Breach: from the first signal to the last notice; and the fan-out of every campaign of notices."""

from datetime import timedelta
from functools import cache
from typing import Any

from firebase_functions import https_fn, options, scheduler_fn, tasks_fn
from flask import Request, Response

import fanout
import feedback
from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.queue import Queue
from astra.settings import BreachSettings

PLATFORM = Platform.at_start(BreachSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "breach-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL", "ASTRA_SMTP_URL", "ASTRA_BOUNCE_SECRET"]
TASK_TIMEOUT = 1800
TICK_TIMEOUT = 240


@cache
def queue() -> Queue:
    return Queue(PLATFORM.app, "notify")


@tasks_fn.on_task_dispatched(
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=TASK_TIMEOUT,
    retry_config=options.RetryConfig(max_attempts=5, min_backoff_seconds=10),
    rate_limits=options.RateLimits(max_concurrent_dispatches=20),
)
@callables.guarded
def notify(request: https_fn.CallableRequest[Any]) -> None:
    fanout.notify(PLATFORM, queue(), request.data["job"], budget=timedelta(seconds=TASK_TIMEOUT * 0.7))


@callables.on_call(PLATFORM, feedback.SeeNotice, Limit(120), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def see_notice(call: Call[feedback.SeeNotice]) -> Answer:
    return feedback.see_notice(PLATFORM, call)


@https_fn.on_request(region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def bounced(request: Request) -> Response:
    return feedback.bounced(PLATFORM, request)


@scheduler_fn.on_schedule(
    schedule="every 5 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=TICK_TIMEOUT,
)
@callables.guarded
def tick(_event: scheduler_fn.ScheduledEvent) -> None:
    fanout.tick(PLATFORM, queue())
