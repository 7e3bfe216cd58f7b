"""Daily closes of a source (DXY, BTC dominance), and their last change as known at an instant."""

from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec
import numpy as np

from shared.domain.checks import require
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import DAY_MS

_EPOCH: Final = date(1970, 1, 1).toordinal()


class DailyRow(msgspec.Struct, frozen=True):
    """The close of one UTC day. It counts from 00:00 UTC of the next day."""

    date: date
    close: float

    @property
    def counts_from_ms(self) -> int:
        """The first instant at which the close is known."""
        return (self.date.toordinal() - _EPOCH + 1) * DAY_MS


class DailyChange(msgspec.Struct, frozen=True, kw_only=True):
    """The newest close that counts against the one before it. newest: its date."""

    newest: date
    points: float
    percent: float


class DailySeries:
    """Rows by date; of rows with one date the last given counts. Raises InvalidValueError on a close that is no number > 0."""

    def __init__(self, rows: Iterable[DailyRow], name: str) -> None:
        by_date = {row.date: row for row in rows}
        self.name = name
        self.rows = tuple(by_date[day] for day in sorted(by_date))
        for row in self.rows:
            require(0 < row.close < float("inf"), "close must be a finite number > 0", row.close, f"{name} {row.date}")
        self._counts_from_ms = np.array([row.counts_from_ms for row in self.rows], dtype=np.int64)

    def change_at(self, at_ms: int, *, age_ms_max: int) -> DailyChange:
        """The last change known at the instant. Raises InvalidValueError where fewer than two rows count or the newest is old.

        age_ms_max: how long a row counts after its successor could have come (weekends and holidays lie between).
        """
        known = int(np.searchsorted(self._counts_from_ms, at_ms, side="right"))
        if known < 2:  # noqa: PLR2004 - a change needs two
            raise InvalidValueError(f"two daily closes are required, was {known} ({self.name} at {at_ms})")
        before, newest = self.rows[known - 2], self.rows[known - 1]
        if at_ms - newest.counts_from_ms >= age_ms_max:
            days = (at_ms - newest.counts_from_ms) // DAY_MS
            raise InvalidValueError(f"stale: the newest close is of {newest.date}, {days} days ago ({self.name})")
        return DailyChange(
            newest=newest.date,
            points=newest.close - before.close,
            percent=(newest.close / before.close - 1.0) * 100.0,
        )
