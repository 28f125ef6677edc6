"""Transparency log: trigger and options of the sequencer, the only one with its keys."""

from datetime import timedelta

from firebase_functions import scheduler_fn

from astra.runtime.deployment import Group, defaults

from tlog import sequencer
from tlog.settings import LogSettings

defaults(cpu=0.2, concurrency=1, max_instances=1)
LOG = Group("log-functions", LogSettings)
SEQUENCE_TIMEOUT = 240


@scheduler_fn.on_schedule(**LOG.options(schedule="every 1 minutes", timeout_sec=SEQUENCE_TIMEOUT, max_instances=1))
@LOG.serves
def sequence(_event: scheduler_fn.ScheduledEvent) -> None:
    sequencer.sequence(LOG.platform, budget=timedelta(seconds=SEQUENCE_TIMEOUT * 0.7))
