"""Breach: from the first signal to the last notice; and the fan-out of every campaign of notices."""

import base64
from typing import Any

from firebase_functions import https_fn, options, pubsub_fn, scheduler_fn, tasks_fn
from firebase_functions.core import CloudEvent

import watching
from astra import callables
from astra.platform import Platform
from astra.settings import BreachSettings

PLATFORM = Platform.at_start(BreachSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "breach-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL", "ASTRA_SMTP_URL"]
TASK_TIMEOUT = 1800
TICK_TIMEOUT = 240


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
    """To come."""


@scheduler_fn.on_schedule(
    schedule="every 5 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=TICK_TIMEOUT,
)
@callables.guarded
def tick(_event: scheduler_fn.ScheduledEvent) -> None:
    """To come."""


@pubsub_fn.on_message_published(
    topic="audit-logs",
    retry=True,  # what was not counted comes again
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
)
@callables.guarded
def watch(event: CloudEvent[pubsub_fn.MessagePublishedData[Any]]) -> None:
    watching.watch(PLATFORM, [base64.b64decode(event.data.message.data)])
