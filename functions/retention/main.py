"""Retention: trigger and options of the hourly sweep."""

from datetime import timedelta

from firebase_functions import scheduler_fn

from astra.runtime.deployment import Group, defaults
from astra.runtime.settings import emulated

from retention import schedule
from retention.settings import RetentionSettings

defaults(cpu=0.2, concurrency=1, max_instances=1)
RETENTION = Group("retention-functions", RetentionSettings)
SWEEP_TIMEOUT = 1800


@scheduler_fn.on_schedule(**RETENTION.options(schedule="every 1 hours", timeout_sec=SWEEP_TIMEOUT))
@RETENTION.serves
def sweep(event: scheduler_fn.ScheduledEvent) -> None:
    platform = RETENTION.platform
    # Whoever can start a deployed function must not be able to say that everything is over.
    ahead = event.schedule_time - platform.clock() if emulated() else timedelta(0)
    schedule.sweep(platform, timedelta(seconds=SWEEP_TIMEOUT * 0.7), ahead)
