"""The schedule `tick`: it finds what was lost and says what is due. Each part of that is done though another fails."""

from collections.abc import Callable
from functools import partial

from astra.runtime import log
from astra.runtime.platform import Platform
from astra.runtime.task_queue import Queue

from breach.assessment import affected as gathering
from breach.detection import correlate as cases
from breach.detection import watch as watching
from breach.response import contain as containing
from breach.response import deadline_alarms as alarms
from breach.settings import TickSettings


def tick(platform: Platform[TickSettings], queue: Queue) -> None:
    """Hand lost jobs back; listen for silence; look at the clocks; carry through what a crash broke off."""
    parts: tuple[Callable[[], object], ...] = (
        partial(gathering.work_again, platform, queue),
        partial(watching.listen, platform),
        partial(alarms.sound, platform),
        partial(containing.settle_again, platform),
        partial(cases.alert_again, platform),
    )
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001  (one part's failure must not cost another its time)
            log.failure(log.Event.FAILED, error)
