"""People who use the application, over the real stores."""

import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from firebase_functions.https_fn import HttpsError

from astra.runtime.callables import Answer, Call, Caller, parse
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit
from usage.events import LogEvent
from usage.record import flush, gather, log_event

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36"
LIMIT = Limit(50)
MINUTE = timedelta(minutes=1)


class User:
    """Somebody who is signed in."""

    def __init__(self, platform: Platform[Any]) -> None:
        self.platform, self.uid = platform, secrets.token_hex(14)
        self.profile = platform.db.document(f"users/{self.uid}")
        self.profile.set({"state": "active"})

    def log(self, user_agent: str = CHROME, **request: Any) -> None:
        """As the deployed function does: what can't be gathered is committed."""
        call = Call(parse(LogEvent, request), Caller(self.uid, self.platform.clock(), ""), user_agent=user_agent)
        gathered: Answer | None = None
        with suppress(HttpsError):
            gathered = gather(self.platform, LIMIT, call)
        assert (log_event(self.platform, call) if gathered is None else gathered) == {}

    def flush(self) -> None:
        """What the schedule does each minute."""
        flush(self.platform, MINUTE)

    def stored(self) -> list[dict[str, Any]]:
        """The documents in the database."""
        return [found.to_dict() or {} for found in self.platform.db.collection("users", self.uid, "events").get()]

    def seconds(self) -> list[int]:
        """How long each page view took that is in the database: tells one event from another."""
        events = [event for fields in self.stored() for event in fields.get("events", [fields])]
        return sorted(event["props"]["seconds"] for event in events)

    def view(self, seconds: int) -> None:
        """Log a page view."""
        self.log(event="page_viewed", props={"seconds": seconds})

    def refused(self, **request: Any) -> HttpsError:
        """Log what is refused."""
        with pytest.raises(HttpsError) as refusal:
            self.log(**request)
        return refusal.value

    def in_redis(self) -> set[str]:
        """The names of what Redis holds of them, without the part that says whose it is."""
        prefix = f"user:{{{self.uid}}}:"
        return {str(key).removeprefix(prefix) for key in self.platform.redis.scan_iter(f"{prefix}*")}
