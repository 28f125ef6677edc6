"""The letter that says that somebody's erasure has begun, with their receipt.

It is written down with the erasure itself, and goes out like every other. What it is addressed with is deleted with the
rest: so the deletion waits for it, but not for long, for it is the lesser promise.
"""

from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra import campaigns, cohorts
from astra.campaigns import Channel
from astra.entries import Store
from astra.jobs import Page, Pause
from astra.notices import Kind
from astra.platform import Platform
from astra.pseudonyms import Pseudonym
from astra.settings import ErasureSettings

NAME: Final = "erasure"


def confirm(
    batch: firestore.WriteBatch, platform: Platform[ErasureSettings], uid: str, subject: Pseudonym, now: datetime
) -> None:
    """Have the letter sent, as part of `batch`."""
    url = str(platform.settings.receipt_url)
    facts = {"receipt": platform.pseudonyms.receipt(subject), "url": url}
    campaigns.tell(batch, platform, uid, NAME, Kind.ERASURE, facts, now, (Channel.EMAIL,))


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
    row = cohorts.row_of(platform.db, uid, NAME).get(["state"]).to_dict() or {}
    return row.get("state") == "queued"
