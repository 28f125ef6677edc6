"""Erasure: a person asks to be deleted; everything of theirs goes; a signed certificate says so."""

from datetime import timedelta
from functools import cache
from typing import Any

from firebase_functions import https_fn, options, scheduler_fn, tasks_fn

from astra import callables
from astra.callables import Answer, Call
from astra.limits import Limit
from astra.platform import Platform
from astra.queue import Queue
from astra.settings import ErasureSettings, emulated

import erasing
import items

PLATFORM = Platform.at_start(ErasureSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "erasure-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_CERTIFICATE_KEY", "ASTRA_REDIS_URL", "ASTRA_REPLICATE_TOKEN"]
TASK_TIMEOUT = 1800
RECONCILE_TIMEOUT = 240


@cache
def queue() -> Queue:
    return Queue(PLATFORM.app, "erase")


@cache
def letters() -> Queue:
    return Queue(PLATFORM.app, "notify")


@callables.on_call(PLATFORM, erasing.DeleteAccount, Limit(60), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def delete_account(call: Call[erasing.DeleteAccount]) -> Answer:
    return erasing.delete_account(PLATFORM, queue(), letters(), call)


@callables.on_call(PLATFORM, items.DeleteItem, Limit(120), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def delete_item(call: Call[items.DeleteItem]) -> Answer:
    return items.delete_item(PLATFORM, call)


@callables.on_call(PLATFORM, erasing.ShowReceipt, Limit(120), region=REGION, secrets=SECRETS, service_account=ACCOUNT)
def receipt(call: Call[erasing.ShowReceipt]) -> Answer:
    return erasing.receipt(PLATFORM, call)


@tasks_fn.on_task_dispatched(
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=TASK_TIMEOUT,
    retry_config=options.RetryConfig(max_attempts=5, min_backoff_seconds=10),
    rate_limits=options.RateLimits(max_concurrent_dispatches=20),
)
@callables.guarded
def erase(request: https_fn.CallableRequest[Any]) -> None:
    erasing.erase(PLATFORM, queue(), request.data["job"], budget=timedelta(seconds=TASK_TIMEOUT * 0.7))


@scheduler_fn.on_schedule(
    schedule="every 5 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=RECONCILE_TIMEOUT,
)
@callables.guarded
def reconcile(event: scheduler_fn.ScheduledEvent) -> None:
    # A drill, in the emulators alone: whoever can start a deployed function must not be able to say what time it is.
    ahead = event.schedule_time - PLATFORM.clock() if emulated() else timedelta(0)
    erasing.reconcile(PLATFORM, queue(), timedelta(seconds=RECONCILE_TIMEOUT * 0.7), ahead)
