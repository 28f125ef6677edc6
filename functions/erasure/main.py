"""Erasure: triggers and options of requests, jobs and the roll call."""

from datetime import timedelta
from functools import cache
from typing import Any

from firebase_functions import https_fn, scheduler_fn, tasks_fn

from astra.runtime import callables
from astra.runtime.callables import Answer, Call
from astra.runtime.deployment import TASK_TIMEOUT_SECONDS, Group, defaults, long_task
from astra.runtime.rate_limits import Limit
from astra.runtime.settings import emulated
from astra.runtime.task_queue import Queue

from erasure import items, request_handlers
from erasure.settings import DeletionSettings, ErasureSettings, RollCallSettings

defaults(cpu=0.3, concurrency=1, max_instances=20)
DELETION = Group("deletion-functions", DeletionSettings)
ERASURE = Group("erasure-functions", ErasureSettings)
ROLL_CALL = Group("erasure-functions", RollCallSettings)
RECONCILE_TIMEOUT = 240


@cache
def erasures(group: Group[Any]) -> Queue:
    return Queue(group.platform, "erase")


@cache
def letters() -> Queue:
    return Queue(DELETION.platform, "notify")


@callables.on_call(DELETION, request_handlers.DeleteAccount, Limit(60))
def delete_account(call: Call[request_handlers.DeleteAccount]) -> Answer:
    return request_handlers.delete_account(DELETION.platform, erasures(DELETION), letters(), call)


@callables.on_call(DELETION, items.DeleteItem, Limit(120))
def delete_item(call: Call[items.DeleteItem]) -> Answer:
    return items.delete_item(DELETION.platform, call)


@callables.on_call(DELETION, request_handlers.ShowReceipt, Limit(120))
def receipt(call: Call[request_handlers.ShowReceipt]) -> Answer:
    return request_handlers.receipt(DELETION.platform, call)


@tasks_fn.on_task_dispatched(**ERASURE.options(**long_task()))
@ERASURE.serves
def erase(request: https_fn.CallableRequest[Any]) -> None:
    request_handlers.erase(
        ERASURE.platform, erasures(ERASURE), request.data["job"], budget=timedelta(seconds=TASK_TIMEOUT_SECONDS * 0.7)
    )


@scheduler_fn.on_schedule(
    **ROLL_CALL.options(schedule="every 5 minutes", timeout_sec=RECONCILE_TIMEOUT, cpu=0.2, max_instances=1)
)
@ROLL_CALL.serves
def reconcile(event: scheduler_fn.ScheduledEvent) -> None:
    platform = ROLL_CALL.platform
    # A drill, in the emulators alone: whoever can start a deployed function must not be able to say what time it is.
    ahead = event.schedule_time - platform.clock() if emulated() else timedelta(0)
    request_handlers.reconcile(platform, erasures(ROLL_CALL), timedelta(seconds=RECONCILE_TIMEOUT * 0.7), ahead)
