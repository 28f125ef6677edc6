"""Activity: when an account was last seen, and when its next warning is due.

users/{uid}.inactivity   {seenAt, dueAt, warnings, told}: when they were last here, when the next step is due, how
                         often they were warned since, and the name of the last warning
"""

from datetime import datetime, timedelta
from typing import Any, Final

from astra.accounts.state import ProfileState
from astra.runtime.settings import InactivitySettings

FIELD: Final = "inactivity"
FIRST_WARNING: Final = timedelta(days=30)
LAST_WARNING: Final = timedelta(days=7)
"""How long before an erasure the two warnings are given, at least."""
DAY: Final = timedelta(days=1)
_FREEZE_GRACE: Final = timedelta(days=30)


def seen(settings: InactivitySettings, at: datetime) -> dict[str, Any]:
    """What is noted of somebody who was here `at` that time."""
    return {"seenAt": at, "dueAt": at + settings.inactive - FIRST_WARNING, "warnings": 0, "told": None}


def anew(noted: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What is noted of somebody who could not come back until `now`: both warnings are given again, later."""
    return {**noted, "dueAt": max(noted["dueAt"], now + _FREEZE_GRACE), "warnings": 0, "told": None}


def thawed(profile: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The changes of a frozen profile with which somebody is let in again at `now`."""
    return {"state": ProfileState.ACTIVE.value} | ({FIELD: anew(profile[FIELD], now)} if profile.get(FIELD) else {})


def is_news(profile: dict[str, Any], now: datetime) -> bool:
    """Whether a sign-in is to be noted: once a day is enough, and at once if somebody was warned."""
    noted = profile.get(FIELD)
    return not noted or noted["warnings"] > 0 or bool(noted["seenAt"] <= now - DAY)
