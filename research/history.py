"""A recorded market as columns: the finest candles of a source and the higher timeframes over them, without holes."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.candle_runs import with_roll_ups
from shared.domain.candles import Candle
from shared.domain.checks import require
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.strategies.base import WindowColumns, WindowNeed
from shared.strategies.windows import Windows, marks_of, missing_text, rows_or_missing, windows_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_COLUMNS: Final = 5  # open, high, low, close, volume


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive candles of one timeframe, oldest first. values: (5, n), open, high, low, close, volume."""

    timeframe: Timeframe
    open_time_ms: IntArray
    values: FloatArray
    revision: IntArray
    unusable: npt.NDArray[np.bool_]
    marks: IntArray

    def __len__(self) -> int:
        return len(self.open_time_ms)

    @property
    def close_time_ms(self) -> IntArray:
        """When each candle closed."""
        return self.open_time_ms + self.timeframe.duration_ms

    def held_at(self, closes_ms: IntArray) -> IntArray:
        """How many of its candles have closed by each time."""
        return np.searchsorted(self.close_time_ms, closes_ms, side="right")

    def windows(self, held: IntArray, length: int) -> Windows:
        """One window per row: the `length` candles before index held[row], all of which must be there."""
        rows = held - length
        view = np.lib.stride_tricks.sliding_window_view
        return windows_of(
            self.timeframe,
            view(self.open_time_ms, length)[rows],
            view(self.values, length, axis=1)[:, rows],
            view(self.revision, length)[rows],
            view(self.unusable, length)[rows],
            view(self.marks, length)[rows],
        )

    def columns(self, held: IntArray, length: int) -> WindowColumns:
        """The windows alone, as a strategy reads them."""
        rows = held - length
        view = np.lib.stride_tricks.sliding_window_view
        picked = np.ascontiguousarray(view(self.values, length, axis=1)[:, rows])
        opens = np.ascontiguousarray(view(self.open_time_ms, length)[rows])
        return WindowColumns(
            open=picked[0], high=picked[1], low=picked[2], close=picked[3], volume=picked[4], open_time_ms=opens
        )


class History(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol's candles. candles: of `base`, the finest of the source; exits are decided on them."""

    exchange: str
    symbol: str
    base: Timeframe
    candles: list[Candle]
    series: dict[Timeframe, Series]

    def closes_of(self, need: WindowNeed) -> IntArray:
        """Closes of the need's timeframe on which its window is whole."""
        own = self.series[need.timeframe]
        return own.close_time_ms[need.length - 1 :]

    def windows(self, needs: Sequence[WindowNeed], closes_ms: IntArray) -> dict[Timeframe, Windows]:
        """What a strategy reads at each of these closes; every need that is not optional must be whole there."""
        found = {}
        for need in needs:
            own = self.series.get(need.timeframe)
            if own is None:  # finer than the source: never there, as in a replay of it
                found[need.timeframe] = rows_or_missing(None, [None] * len(closes_ms), need.timeframe, need.length)
                continue
            held = own.held_at(closes_ms)
            if need.optional:
                found[need.timeframe] = _or_missing(own, held, need)
            else:
                found[need.timeframe] = own.windows(held, need.length)
        return found

    def columns(self, needs: Sequence[WindowNeed], closes_ms: IntArray) -> dict[Timeframe, WindowColumns]:
        """The same without what a Decision records of windows; rows of an optional need may be NaN."""
        if any(need.optional for need in needs):
            return {timeframe: windows.columns for timeframe, windows in self.windows(needs, closes_ms).items()}
        found = {}
        for need in needs:
            own = self.series[need.timeframe]
            found[need.timeframe] = own.columns(own.held_at(closes_ms), need.length)
        return found

    def ready_closes(self, needs: Sequence[WindowNeed]) -> IntArray:
        """Closes of the first need's timeframe on which everything a strategy cannot do without is whole."""
        closes = self.closes_of(needs[0])
        for need in needs[1:]:
            if not need.optional:
                closes = closes[self.series[need.timeframe].held_at(closes) >= need.length]
        return closes

    def barred(self, needs: Sequence[WindowNeed]) -> npt.NDArray[np.bool_]:
        """Candles of the first need's timeframe whose windows hold an unusable candle: the quality gate. Empty for none."""
        own = self.series[needs[0].timeframe]
        found = np.zeros(len(own), dtype=np.bool_)
        for need in needs:
            series = self.series.get(need.timeframe)
            if series is None or not series.unusable.any():
                continue
            counts = np.concatenate([[0], np.cumsum(series.unusable)])
            held = series.held_at(own.close_time_ms)
            found |= counts[held] > counts[np.maximum(held - need.length, 0)]
        return found if found.any() else found[:0]

    def base_index_at(self, close_ms: int) -> int:
        """Index of the first candle of `base` that opens at or after the time."""
        return (close_ms - self.candles[0].open_time_ms) // self.base.duration_ms


def history_of(candles: Sequence[Candle], needs: Iterable[WindowNeed], *, revision: int = 1) -> History:
    """Columns of these candles (one series, oldest first, no holes) and of the timeframes that are read.

    Raises InvalidValueError for none, for candles that do not follow one another, and for a timeframe they cannot make.
    """
    require(bool(candles), "at least one candle is needed", len(candles), "history")
    first, base = candles[0], candles[0].timeframe
    wanted = {base}
    for need in needs:
        if need.timeframe.duration_ms >= base.duration_ms:
            wanted.add(need.timeframe)
        elif not need.optional:
            raise InvalidValueError(
                f"candles of {base} cannot make the {need.timeframe} that is needed ({first.exchange} {first.symbol})"
            )
    by_timeframe: dict[Timeframe, list[Candle]] = {timeframe: [] for timeframe in wanted}
    due_ms = first.open_time_ms
    for closed in with_roll_ups(candles, revision=revision):
        opened_ms = closed[0].open_time_ms
        require(opened_ms == due_ms, f"the next candle must open at {due_ms}", opened_ms, "history")
        due_ms = closed[0].close_time_ms
        for candle in closed:
            if candle.timeframe in by_timeframe:
                by_timeframe[candle.timeframe].append(candle)
    series = {timeframe: series_of(found, timeframe) for timeframe, found in by_timeframe.items()}
    return History(exchange=first.exchange, symbol=first.symbol, base=base, candles=list(candles), series=series)


def series_of(candles: Sequence[Candle], timeframe: Timeframe) -> Series:
    """Columns of candles; revision 0 (not stored) counts as the first."""
    values = np.empty((_COLUMNS, len(candles)))
    for place, candle in enumerate(candles):
        values[:, place] = candle.open, candle.high, candle.low, candle.close, float(candle.volume)
    return Series(
        timeframe=timeframe,
        open_time_ms=np.array([candle.open_time_ms for candle in candles], dtype=np.int64),
        values=values,
        revision=np.array([max(candle.revision, 1) for candle in candles], dtype=np.int64),
        unusable=np.array([not candle.usable for candle in candles], dtype=np.bool_),
        marks=marks_of(candles),
    )


def _or_missing(own: Series, held: IntArray, need: WindowNeed) -> Windows:
    whole = np.flatnonzero(held >= need.length)
    found = own.windows(held[whole], need.length) if len(whole) else None
    places = {row: place for place, row in enumerate(whole.tolist())}
    windows = rows_or_missing(found, [places.get(row) for row in range(len(held))], need.timeframe, need.length)
    counts = held.tolist()
    missing = {row: missing_text(need.timeframe, need.length, counts[row]) for row in windows.missing}
    return msgspec.structs.replace(windows, missing=missing)
