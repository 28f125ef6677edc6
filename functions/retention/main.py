"""Retention: what has outlived its time goes, and whoever has left is asked before they go."""

from datetime import timedelta

from firebase_functions import options, scheduler_fn

from astra import callables
from astra.platform import Platform
from astra.settings import RetentionSettings, emulated

import sweeping

PLATFORM = Platform.at_start(RetentionSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "retention-functions@"
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"]
SWEEP_TIMEOUT = 1800


@scheduler_fn.on_schedule(
    schedule="every 1 hours",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=SWEEP_TIMEOUT,
)
@callables.guarded
def sweep(event: scheduler_fn.ScheduledEvent) -> None:
    # Whoever can start a deployed function must not be able to say that everything is over.
    ahead = event.schedule_time - PLATFORM.clock() if emulated() else timedelta(0)
    sweeping.sweep(PLATFORM, timedelta(seconds=SWEEP_TIMEOUT * 0.7), ahead)
