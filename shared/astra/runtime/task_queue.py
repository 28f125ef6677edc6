"""Cloud Tasks as hints: a lost task is found again by a schedule."""

from datetime import datetime
from typing import Final

from firebase_admin import exceptions, functions

from astra.runtime import log
from astra.runtime.platform import Platform
from astra.runtime.settings import Environment

_DEADLINE_SECONDS: Final = 1800
"""Seconds, the most there is: with the usual 600 Cloud Tasks breaks off work to which its function gives longer. A
function that has less ends by its own timeout."""


class Queue:
    """The queue in front of one task function."""

    def __init__(self, platform: Platform[Environment], function: str) -> None:
        place = f"locations/{platform.settings.region}/functions/{function}"
        self._queue = functions.task_queue(place, app=platform.app)

    def hint(self, job: str, at: datetime | None = None, **more: str) -> bool:
        """Ask for `job` to be looked at, now or at `at`. Answers whether the queue took it: where a reconciler finds
        the job all the same, a queue that does not answer costs time alone."""
        options = functions.TaskOptions(schedule_time=at, dispatch_deadline_seconds=_DEADLINE_SECONDS)
        try:
            self._queue.enqueue({"data": {"job": job, **more}}, options)
        except (exceptions.FirebaseError, ValueError) as error:
            log.failure(log.Event.QUEUE_DOWN, error)
            return False
        return True
