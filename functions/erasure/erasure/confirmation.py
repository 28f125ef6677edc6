"""Confirmation by e-mail: the deletion waits until it was sent, or for a bounded time.

It is written down with the erasure itself (`erasure.confirm`), and goes out like every other. What it is addressed with
is deleted with the rest: so the deletion waits for it, but not for long, for it is the lesser promise.
"""

from typing import Any

from astra import erasure
from astra.datamap.model import Store
from astra.jobs import Page, Pause
from astra.notices import deliveries
from astra.runtime.platform import Platform

from erasure.settings import ErasureSettings


def after(platform: Platform[ErasureSettings], page: Page) -> Page:
    """`page`, once every door is closed and the letter has gone out, or has taken too long."""

    def waiting(job: dict[str, Any]) -> Any:
        began, now = job["createdAt"], platform.clock()
        latest = began + platform.settings.confirmation_wait
        # Only before anything is deleted: in the step that comes first.
        first = job["step"] == Store.REPLICATE and job["cursor"] is None
        if first and now < latest and _is_queued(platform, job["uid"]):
            return Pause({}, min(latest, now + platform.settings.retry_delay))
        return page(job)

    return waiting


def _is_queued(platform: Platform[ErasureSettings], uid: str) -> bool:
    row = deliveries.row_of(platform.db, uid, erasure.LETTER).get(["state"]).to_dict() or {}
    return row.get("state") == deliveries.DeliveryState.QUEUED
