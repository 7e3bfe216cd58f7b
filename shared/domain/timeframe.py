"""Timeframes and the grid of their candles. All times are UTC epoch milliseconds; weeks open Monday 00:00."""

from enum import StrEnum
from typing import Final

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
# 1970-01-01 was a Thursday: the first Monday lies four days later.
FIRST_MONDAY_MS: Final = 4 * DAY_MS


class Timeframe(StrEnum):
    """A candle's length; the value is its name everywhere (files, tables, messages)."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    W1 = "1w"

    @property
    def duration_ms(self) -> int:
        """Length of one candle."""
        return _DURATION_MS[self]

    @property
    def minutes(self) -> int:
        """Length of one candle in minutes."""
        return _DURATION_MS[self] // MINUTE_MS

    @property
    def source(self) -> "Timeframe | None":
        """The timeframe this one is rolled up from; None for 1m, which is folded from trades."""
        return _SOURCE[self]

    def open_time_ms(self, time_ms: int) -> int:
        """Open time of the candle that contains the time."""
        anchor_ms, duration_ms = _GRID[self]
        return time_ms - (time_ms - anchor_ms) % duration_ms

    def closes_at(self, time_ms: int) -> bool:
        """Whether a candle of this timeframe closes exactly at the time."""
        anchor_ms, duration_ms = _GRID[self]
        return (time_ms - anchor_ms) % duration_ms == 0


_DURATION_MS: Final = {
    Timeframe.M1: MINUTE_MS,
    Timeframe.M5: 5 * MINUTE_MS,
    Timeframe.M15: 15 * MINUTE_MS,
    Timeframe.M30: 30 * MINUTE_MS,
    Timeframe.H1: 60 * MINUTE_MS,
    Timeframe.H4: 240 * MINUTE_MS,
    Timeframe.D1: DAY_MS,
    Timeframe.W1: 7 * DAY_MS,
}
# Asked for every candle made: (anchor, duration), weeks anchored on a Monday.
_GRID: Final = {
    timeframe: (FIRST_MONDAY_MS if timeframe is Timeframe.W1 else 0, duration_ms)
    for timeframe, duration_ms in _DURATION_MS.items()
}
_SOURCE: Final[dict[Timeframe, Timeframe | None]] = {
    Timeframe.M1: None,
    Timeframe.M5: Timeframe.M1,
    Timeframe.M15: Timeframe.M5,
    Timeframe.M30: Timeframe.M15,
    Timeframe.H1: Timeframe.M30,
    Timeframe.H4: Timeframe.H1,
    Timeframe.D1: Timeframe.H4,
    Timeframe.W1: Timeframe.D1,
}
ROLL_UPS: Final = tuple(timeframe for timeframe in Timeframe if timeframe is not Timeframe.M1)


def minute_ms(time_ms: int) -> int:
    """Open time of the minute that contains the time."""
    return time_ms - time_ms % MINUTE_MS


def roll_ups_closing_at(time_ms: int) -> tuple[Timeframe, ...]:
    """The higher timeframes with a candle that closes at the time, shortest first."""
    return tuple(timeframe for timeframe in ROLL_UPS if timeframe.closes_at(time_ms))
