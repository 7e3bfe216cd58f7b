"""Timeframes and the grid of their candles. All times are UTC epoch milliseconds; weeks open Monday 00:00."""

from enum import StrEnum
from typing import Final, Self

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
# 1970-01-01 was a Thursday: the first Monday lies four days later.
FIRST_MONDAY_MS: Final = 4 * DAY_MS


class Timeframe(StrEnum):
    """A candle's length; the value is its name everywhere (files, tables, messages).

    duration_ms: length of one candle. minutes: the same in minutes. anchor_ms: an open time that fixes the grid.
    """

    duration_ms: int
    minutes: int
    anchor_ms: int

    # Plain attributes, not properties: they are asked for at every candle made.
    def __new__(cls, name: str, minutes: int = 0, anchor_ms: int = 0) -> Self:
        """Member `name` of so many minutes."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.minutes, member.duration_ms, member.anchor_ms = minutes, minutes * MINUTE_MS, anchor_ms
        return member

    M1 = "1m", 1
    M5 = "5m", 5
    M15 = "15m", 15
    M30 = "30m", 30
    H1 = "1h", 60
    H4 = "4h", 240
    D1 = "1d", 1_440
    W1 = "1w", 10_080, FIRST_MONDAY_MS

    __hash__ = str.__hash__  # an Enum's own is written in Python, and timeframes are keys everywhere

    @property
    def source(self) -> "Timeframe | None":
        """The timeframe this one is rolled up from; None for 1m, which is folded from trades."""
        return _SOURCE[self]

    def open_time_ms(self, time_ms: int) -> int:
        """Open time of the candle that contains the time."""
        return time_ms - (time_ms - self.anchor_ms) % self.duration_ms

    def closes_at(self, time_ms: int) -> bool:
        """Whether a candle of this timeframe closes exactly at the time."""
        return (time_ms - self.anchor_ms) % self.duration_ms == 0


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
