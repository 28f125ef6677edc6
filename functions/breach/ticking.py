"""The schedule `tick`: it finds what was lost and says what is due. Each part of that is done though another fails."""

from collections.abc import Callable
from functools import partial

from astra import log
from astra.platform import Platform
from astra.queue import Queue

import alarms
import cases
import containing
import gathering
import watching
from breach_settings import TickSettings


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
