"""The schedule `tick`: returns lost jobs to their queue and raises what is due."""

from collections.abc import Callable
from functools import partial

from astra.runtime import log
from astra.runtime.platform import Platform
from astra.runtime.task_queue import Queue

from breach.assessment import affected
from breach.detection import correlate, watch
from breach.response import contain, deadline_alarms
from breach.settings import TickSettings


def tick(platform: Platform[TickSettings], queue: Queue) -> None:
    """Hand lost jobs back; listen for silence; look at the clocks; carry through what a crash broke off."""
    parts: tuple[Callable[[], object], ...] = (
        partial(affected.work_again, platform, queue),
        partial(watch.listen, platform),
        partial(deadline_alarms.sound, platform),
        partial(contain.settle_again, platform),
        partial(correlate.alert_again, platform),
    )
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001  (one part's failure must not cost another its time)
            log.failure(log.Event.FAILED, error)
