"""Candles of one market and timeframe as one table of numbers."""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.timeframe import Timeframe

FloatArray = npt.NDArray[np.float64]
TIME, OPEN, HIGH, LOW, CLOSE, VOLUME = range(6)
COLUMNS: Final = 6


class Candles(msgspec.Struct, frozen=True):
    """Closed candles, oldest first, each time once.

    table: shape (n, 6): open time (UTC epoch ms, exact in float64), open, high, low, close (quote currency), volume (base).
    """

    timeframe: Timeframe
    table: FloatArray

    @property
    def size(self) -> int:
        """Number of candles."""
        return len(self.table)

    @property
    def newest_close_ms(self) -> int:
        """First instant after the newest candle; 0 without any."""
        return int(self.table[-1, TIME]) + self.timeframe.duration_ms if self.size else 0

    def closed_at(self, at_ms: int) -> "Candles":
        """Those that had closed by the instant; a view."""
        end = np.searchsorted(self.table[:, TIME], at_ms - self.timeframe.duration_ms, side="right")
        return Candles(self.timeframe, self.table[:end])

    def newest(self, count: int) -> "Candles":
        """The newest `count` of them; a view."""
        return Candles(self.timeframe, self.table[max(0, self.size - count) :])

    def consecutive_tail(self) -> "Candles":
        """The newest run without a missing candle."""
        breaks = np.flatnonzero(np.diff(self.table[:, TIME]) != self.timeframe.duration_ms)
        return Candles(self.timeframe, self.table[int(breaks[-1]) + 1 :] if len(breaks) else self.table)


def no_candles(timeframe: Timeframe) -> Candles:
    """An empty table."""
    return Candles(timeframe, np.empty((0, COLUMNS)))


def merged(known: Candles, news: Candles) -> Candles:
    """Both in order of time; where both have a candle, the news count."""
    both = np.concatenate([news.table, known.table])
    _, first = np.unique(both[:, TIME], return_index=True)
    return Candles(known.timeframe, both[first])


def rolled_up(candles: Candles, timeframe: Timeframe) -> Candles:
    """Candles of a longer timeframe: first open, highest high, lowest low, last close, summed volume of those there are.

    The last one is left out unless its whole time has passed by the newest candle's close. Intervals without any are absent.
    """
    if not candles.size:
        return no_candles(timeframe)
    duration_ms = timeframe.duration_ms
    table = candles.table
    opens = table[:, TIME] // duration_ms * duration_ms
    at = np.concatenate([[0], np.flatnonzero(np.diff(opens)) + 1])
    ends = np.append(at[1:], len(table)) - 1
    rolled = np.column_stack(
        [
            opens[at],
            table[at, OPEN],
            np.maximum.reduceat(table[:, HIGH], at),
            np.minimum.reduceat(table[:, LOW], at),
            table[ends, CLOSE],
            np.add.reduceat(table[:, VOLUME], at),
        ]
    )
    closed = rolled[:, TIME] + duration_ms <= candles.newest_close_ms
    return Candles(timeframe, rolled[closed])


def filled(candles: Candles) -> tuple[Candles, int]:
    """Absent candles as those of a market without trades: the previous close four times, no volume; and how many.

    Right where the source leaves out what had no trade (Kraken's files) or the exchange had halted.
    """
    if not candles.size:
        return candles, 0
    duration_ms = candles.timeframe.duration_ms
    known = ((candles.table[:, TIME] - candles.table[0, TIME]) // duration_ms).astype(np.int64)
    count = int(known[-1]) + 1
    source = np.zeros(count, dtype=np.int64)
    source[known] = np.arange(len(known))
    source = np.maximum.accumulate(source)
    table = candles.table[source]
    absent = np.ones(count, dtype=np.bool_)
    absent[known] = False
    table[absent, OPEN:CLOSE] = table[absent, CLOSE, None]
    table[absent, VOLUME] = 0.0
    table[:, TIME] = candles.table[0, TIME] + np.arange(count) * duration_ms
    return Candles(candles.timeframe, table), int(absent.sum())
