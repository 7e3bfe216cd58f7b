"""Klines under Bybit's rule: a bar opens at the previous close, and its high and low include that price."""

import msgspec
import numpy as np

from services.simulator.core.day_plan import DAY_MINUTES, IntArray

# Bybit's interval names and their minutes. A week begins on Monday 00:00 UTC.
INTERVAL_MINUTES = {
    "1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "60": 60, "120": 120, "240": 240, "360": 360, "720": 720,
    "D": DAY_MINUTES, "W": 7 * DAY_MINUTES,
}  # fmt: skip
_WEEK_MINUTES = 7 * DAY_MINUTES
_MONDAY_OFFSET_MINUTES = 4 * DAY_MINUTES  # 1970-01-05 was a Monday


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive bars, oldest first; prices in ticks, volume in steps, turnover in ticks times steps."""

    start_minute: IntArray
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    turnover: IntArray

    @property
    def size(self) -> int:
        """Number of bars."""
        return int(self.start_minute.size)


def interval_start(minute: int, interval: str) -> int:
    """Start of the bar that holds a minute."""
    minutes = INTERVAL_MINUTES[interval]
    offset = _MONDAY_OFFSET_MINUTES if minutes == _WEEK_MINUTES else 0
    return (minute - offset) // minutes * minutes + offset


def first_rows(bars: Bars, count: int) -> Bars:
    """The oldest `count` bars."""
    return rows(bars, slice(0, count))


def rows(bars: Bars, part: slice) -> Bars:
    """A slice of the bars."""
    return Bars(**{name: getattr(bars, name)[part] for name in Bars.__struct_fields__})


def joined(parts: list[Bars]) -> Bars:
    """Bars of several consecutive stretches as one."""
    if len(parts) == 1:
        return parts[0]
    names = Bars.__struct_fields__
    return Bars(**{n: np.concatenate([getattr(p, n) for p in parts] or [np.zeros(0, np.int64)]) for n in names})


def rolled_up(bars: Bars, interval: str) -> Bars:
    """Bars of a higher interval; the first and the last one hold what there is of them."""
    if bars.size == 0 or INTERVAL_MINUTES[interval] == 1:
        return bars
    minutes = INTERVAL_MINUTES[interval]
    offset = _MONDAY_OFFSET_MINUTES if minutes == _WEEK_MINUTES else 0
    period = (bars.start_minute - offset) // minutes
    at = np.concatenate([[0], np.flatnonzero(np.diff(period)) + 1])
    return Bars(
        start_minute=period[at] * minutes + offset,
        open=bars.open[at],
        high=np.maximum.reduceat(bars.high, at),
        low=np.minimum.reduceat(bars.low, at),
        close=bars.close[np.append(at[1:] - 1, bars.size - 1)],
        volume=np.add.reduceat(bars.volume, at),
        turnover=np.add.reduceat(bars.turnover, at),
    )
