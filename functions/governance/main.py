"""Governance: what was done is written where nobody can change it."""

from datetime import timedelta

from firebase_functions import options, scheduler_fn

import sequencing
from astra import callables
from astra.platform import Platform
from astra.settings import LogSettings

PLATFORM = Platform.at_start(LogSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "governance-functions@"
SEQUENCE_TIMEOUT = 240
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_LOG_KEY", "ASTRA_WITNESS_KEY_ID", "ASTRA_WITNESS_SECRET"]


@scheduler_fn.on_schedule(
    schedule="every 1 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    timeout_sec=SEQUENCE_TIMEOUT,
)
@callables.guarded
def sequence(_event: scheduler_fn.ScheduledEvent) -> None:
    sequencing.sequence(PLATFORM, budget=timedelta(seconds=SEQUENCE_TIMEOUT * 0.7))
