"""The days on which the Federal Open Market Committee announces its decision, and how near one is."""

from collections.abc import Iterable
from datetime import date
from typing import Final

import numpy as np

from shared.domain.checks import require
from shared.domain.timeframe import DAY_MS

BEFORE_MS: Final = 8 * 3_600_000
AFTER_MS: Final = 4 * 3_600_000
AFTER_FACTOR: Final = -0.5
_EPOCH: Final = date(1970, 1, 1).toordinal()


class FomcCalendar:
    """Decision days, each a whole UTC day. Raises InvalidValueError without any."""

    def __init__(self, days: Iterable[date], name: str = "FOMC calendar") -> None:
        self.days = tuple(sorted(set(days)))
        require(bool(self.days), "a calendar holds at least one day", self.days, name)
        self._starts_ms = np.array([(day.toordinal() - _EPOCH) * DAY_MS for day in self.days], dtype=np.int64)

    def factor(self, at_ms: int) -> float | None:
        """The factor f of the regime's score: -1 on a decision day, 0 falling to -1 in the 8 h before, -0.5 rising to 0 in the 4 h after.

        None where the calendar does not reach so far: behind its last day nobody knows whether a decision is due.
        """
        following = int(np.searchsorted(self._starts_ms, at_ms, side="right"))
        factors = [0.0]
        if following:
            since_ms = at_ms - int(self._starts_ms[following - 1]) - DAY_MS
            if since_ms < 0:
                return -1.0
            if since_ms < AFTER_MS:
                factors.append(AFTER_FACTOR * (1.0 - since_ms / AFTER_MS))
            elif following == len(self.days):
                return None
        if following < len(self.days):
            until_ms = int(self._starts_ms[following]) - at_ms
            if until_ms < BEFORE_MS:
                factors.append(until_ms / BEFORE_MS - 1.0)
        return min(factors)

    def is_decision_day(self, at_ms: int) -> bool:
        """Whether the instant lies in a decision day (UTC)."""
        return at_ms - at_ms % DAY_MS in self._starts_ms

    def days_left(self, at_ms: int) -> int:
        """From the instant's day to the last day listed; negative behind it."""
        return (int(self._starts_ms[-1]) - (at_ms - at_ms % DAY_MS)) // DAY_MS
