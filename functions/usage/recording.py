"""The usage log of a signed-in user: one document for each request, written without reading anything."""

import secrets
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final

from cachetools import LRUCache, cached
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from astra import tombstones
from astra.callables import Answer, Call
from astra.claims import lives
from astra.platform import Platform
from astra.settings import RedisSettings

import devices
from events import Batch, Event, LogEvent

EVENTS: Final = "events"
_LATEST: Final = timedelta(days=7)
_LIFE: Final = lives(EVENTS)
_REMEMBERED: Final = 10_000


def log_event(platform: Platform[RedisSettings], call: Call[LogEvent]) -> Answer:
    """Keep what was sent, reduced. The answer follows the commit: what was answered is not lost.

    A request with an `id` that is there already is success and changes nothing: its first answer got lost.
    """
    uid, asked, now = call.caller.uid, call.data.root, platform.clock()
    _see_active(platform.db, uid, now.replace(second=0, microsecond=0))
    if isinstance(asked, Batch):
        records = [_record(event, now) for event in asked.events]
        told: dict[str, Any] = {"events": records}
    else:
        records = [told := _record(asked, now)]
    device = devices.reduced(call.user_agent)
    fields = told | {
        "device": device.kind,
        "browser": device.browser,
        "browserMajor": device.major,
        "createdAt": now,
        "expireAt": min(record["at"] for record in records) + _LIFE,
    }
    batch = platform.db.batch()
    batch.create(platform.db.document("users", uid, EVENTS, asked.id or secrets.token_hex(10)), fields)
    try:
        tombstones.commit_unless_erased(batch, platform.db, platform.pseudonyms.of_uid(uid))
    except AlreadyExists:
        pass
    except tombstones.Erased:
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.") from None
    return {}


def _record(event: Event, now: datetime) -> dict[str, Any]:
    at = now
    if event.at is not None:
        # A clock that is ahead must not make an event live longer.
        at = min(now, datetime.fromtimestamp(event.at / 1000, UTC))
    if now - at > _LATEST:
        raise HttpsError(FunctionsErrorCode.INVALID_ARGUMENT, "at: is more than 7 days ago")
    return {"event": event.event, "props": event.props.model_dump(exclude_none=True), "at": at}


@cached(LRUCache(_REMEMBERED), key=lambda _db, uid, minute: (uid, minute), lock=Lock())
def _see_active(db: firestore.Client, uid: str, _minute: datetime) -> None:
    """Refuse who has no profile, or one that is frozen. Asked once a minute: whoever sends many events pays one read,
    and a freeze counts within that minute. An erasure counts at once: the commit itself asserts that there is none."""
    profile = db.document("users", uid).get(["state"]).to_dict() or {}
    if profile.get("state") not in ("active", "erasing"):
        raise HttpsError(FunctionsErrorCode.PERMISSION_DENIED, "This account is not active.")
