"""Moments at which what is computed from a date goes wrong: tests run at each of them, whatever the day is."""

from datetime import UTC, datetime
from typing import Final

import pytest

_AWKWARD: Final = {
    "a Sunday evening": datetime(2026, 11, 29, 20, 30, tzinfo=UTC),
    "a Monday": datetime(2026, 11, 30, 17, 25, tzinfo=UTC),
    "minute 59": datetime(2026, 12, 9, 14, 59, 59, 999_999, tzinfo=UTC),
    "the end of a year": datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "the first of a month": datetime(2027, 3, 1, tzinfo=UTC),
    "29 February": datetime(2028, 2, 29, 12, tzinfo=UTC),
    "01:30 in New York, before clocks go back": datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
    "01:30 in New York once more": datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
    "01:59 in Berlin, before clocks go forward": datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC),
    "03:00 in Berlin, a second later": datetime(2027, 3, 28, 1, tzinfo=UTC),
}
at_awkward_moments: Final = pytest.mark.parametrize("moment", _AWKWARD.values(), ids=_AWKWARD)
