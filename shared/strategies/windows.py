"""The last closed candles of every series, in columns, ready for a kernel; and the digest that names a window.

One table per timeframe: row = one (exchange, symbol). A row holds consecutive candles only, so that a window cannot have
a hole: what does not follow the newest candle is refused, and the caller loads the row again from the store.
"""

import hashlib
import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.candles import Candle
from shared.domain.checks import require
from shared.domain.decisions import WindowRecord
from shared.domain.timeframe import Timeframe
from shared.strategies.base import WINDOW_LENGTH, WindowColumns

IntGrid = npt.NDArray[np.int64]
Series = tuple[str, str]  # exchange, symbol

_COLUMNS: Final = 5  # open, high, low, close, volume
_PACKED: Final = struct.Struct("<q5d")
_DIGEST_LENGTH: Final = 32
_FIRST_CAPACITY: Final = 16


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of n series, row by row: what a strategy reads and what a Decision records of it.

    A row without a whole window (only where one is optional) is all NaN; its record is None, its note says what is missing.
    """

    columns: WindowColumns
    records: tuple[WindowRecord | None, ...]
    unusable: tuple[int, ...]  # per row: candles that a strategy may not rely on
    missing: dict[int, str] = {}  # by row


class WindowTable:
    """The last `length` candles of every series of one timeframe.

    Each row is written forward through twice its length; at the end the newest length - 1 candles move to the front, so
    that a window always is one contiguous run of memory and a push costs the same whatever the length.
    """

    def __init__(self, timeframe: Timeframe, length: int = WINDOW_LENGTH) -> None:
        self.timeframe = timeframe
        self.length = length
        self._duration_ms = timeframe.duration_ms
        self._rows: dict[Series, int] = {}
        self._end: list[int] = []  # per row: one past its newest candle
        self._count: list[int] = []
        self._newest_ms: list[int] = []
        self._values: npt.NDArray[np.float64] = np.zeros((_COLUMNS, 0, 2 * length))
        self._open_ms: IntGrid = np.zeros((0, 2 * length), dtype=np.int64)
        self._revision: IntGrid = np.zeros((0, 2 * length), dtype=np.int64)
        self._unusable: npt.NDArray[np.bool_] = np.zeros((0, 2 * length), dtype=np.bool_)
        self._mark: IntGrid = np.zeros((0, 2 * length), dtype=np.int64)
        self._cut: dict[tuple[int, tuple[int, ...]], Windows] = {}  # of this moment: strategies share windows
        # The memory of this moment's windows, and that of the last one's: asking for new megabytes every minute costs more
        # than filling them.
        self._lent: list[tuple[npt.NDArray[np.float64], IntGrid]] = []
        self._spare: list[tuple[npt.NDArray[np.float64], IntGrid]] = []

    def push(self, candle: Candle) -> bool:
        """Take the candle that follows the series' newest one, or a new revision of one inside the window.

        False when it does neither (first candle, a hole, too old): nothing changed, load the row anew.
        """
        row = self._rows.get((candle.exchange, candle.symbol))
        if row is None or not self._count[row]:
            return False
        step = (candle.open_time_ms - self._newest_ms[row]) // self._duration_ms
        if step == 1:
            self._append(row, candle)
            return True
        if step <= 0 and -step < self._count[row]:
            place = self._end[row] - 1 + step
            # A late first announcement must not undo the correction that overtook it.
            if candle.revision >= int(self._revision[row, place]):
                self._put(row, place, candle)
            return True
        return False

    def push_next(self, candles: Sequence[Candle]) -> list[Candle]:
        """Take those candles (of different series) that follow their series' newest one, all at once.

        Returns the others: revisions of candles known, and whatever `push` would refuse.
        """
        others: list[Candle] = []
        rows: list[int] = []
        places: list[int] = []
        taken: list[Candle] = []
        step_ms = self._duration_ms
        for candle in candles:
            row = self._rows.get((candle.exchange, candle.symbol))
            if row is None or not self._count[row] or candle.open_time_ms != self._newest_ms[row] + step_ms:
                others.append(candle)
                continue
            rows.append(row)
            places.append(self._next_place(row))
            taken.append(candle)
            self._newest_ms[row] = candle.open_time_ms
        if taken:
            self._put_all(rows, places, taken)
        return others

    def load(self, series: Series, candles: Sequence[Candle]) -> None:
        """Start the row anew with the consecutive candles at the end of `candles` (oldest first)."""
        row = self._row(series)
        self._changed()
        self._end[row] = self._count[row] = 0
        for candle in consecutive_tail(candles, self.timeframe)[-self.length :]:
            self._append(row, candle)

    def forget(self, series: Series | None = None) -> None:
        """Empty one row, or all of them: they are loaded again before they are read."""
        self._changed()
        rows = range(len(self._count)) if series is None else [self._row(series)]
        for row in rows:
            self._end[row] = self._count[row] = 0

    def newest_close_ms(self, series: Series) -> int | None:
        """Close of the newest candle; None for an empty row."""
        row = self._rows.get(series)
        return self._newest_ms[row] + self._duration_ms if row is not None and self._count[row] else None

    def ready(self, series: Series, close_time_ms: int, length: int | None = None) -> bool:
        """Whether the row holds a whole window (or `length` candles) that reaches this timeframe's newest close up to the time."""
        row = self._rows.get(series)
        if row is None or self._count[row] < (length or self.length):
            return False
        newest_close_ms = self._newest_ms[row] + self._duration_ms
        return newest_close_ms == close_time_ms or newest_close_ms == self.timeframe.open_time_ms(close_time_ms)

    def windows(self, series: Sequence[Series], length: int | None = None) -> Windows:
        """The newest windows of these series (all ready), in their order; `length` candles of each, else all.

        Their columns hold until the table's next candle: it may be written over them.
        """
        length = length or self.length
        rows = [self._rows[item] for item in series]
        key = (length, tuple(rows))
        known = self._cut.get(key)
        if known is None:
            known = self._cut[key] = self._windows(rows, length)
        return known

    def _windows(self, rows: list[int], length: int) -> Windows:
        ends = [self._end[row] for row in rows]
        first, last, end = rows[0], rows[-1], ends[0]
        index: Any
        values: npt.NDArray[np.float64]
        open_ms: IntGrid
        if rows == list(range(first, last + 1)) and ends.count(end) == len(ends):
            # Series that closed together stand side by side: plain slices, four times faster than picking.
            index = (slice(first, last + 1), slice(end - length, end))
            values, open_ms = self._memory(len(rows), length)
            np.copyto(values, self._values[:, *index])
            np.copyto(open_ms, self._open_ms[index])
        else:
            index = (np.array(rows)[:, None], np.array(ends)[:, None] - length + np.arange(length))
            values, open_ms = self._values[:, *index], self._open_ms[index]
        return windows_of(
            self.timeframe,
            open_ms,
            values,
            self._revision[index],
            self._unusable[index],
            self._mark[index],
        )

    def _memory(self, count: int, length: int) -> tuple[npt.NDArray[np.float64], IntGrid]:
        fitting = [number for number, (_, open_ms) in enumerate(self._spare) if open_ms.shape == (count, length)]
        if fitting:
            memory = self._spare.pop(fitting[0])
        else:
            memory = np.empty((_COLUMNS, count, length)), np.empty((count, length), dtype=np.int64)
        self._lent.append(memory)
        return memory

    def _changed(self) -> None:
        """A candle came: what was cut before it holds no more."""
        if self._cut:
            self._cut.clear()
            self._spare, self._lent = self._lent, []

    def windows_or_missing(self, series: Sequence[Series], length: int, close_time_ms: int) -> Windows:
        """As `windows`, for an optional need: rows that are not ready are NaN and named in `missing`."""
        ready = [item for item in series if self.ready(item, close_time_ms, length)]
        if len(ready) == len(series):
            return self.windows(series, length)
        places = {item: place for place, item in enumerate(ready)}
        found = self.windows(ready, length) if ready else None
        windows = rows_or_missing(found, [places.get(item) for item in series], self.timeframe, length)
        held = {row: self.held(item) for row, item in enumerate(series) if item not in places}
        missing = {row: missing_text(self.timeframe, length, count) for row, count in held.items()}
        return msgspec.structs.replace(windows, missing=missing)

    def held(self, series: Series) -> int:
        """How many consecutive candles the row holds; 0 for an unknown series."""
        row = self._rows.get(series)
        return 0 if row is None else self._count[row]

    def closes(self, series: Series) -> list[float]:
        """The closes in the row, oldest first; empty for an unknown series."""
        row = self._rows.get(series)
        if row is None:
            return []
        closes: list[float] = self._values[3, row, self._end[row] - self._count[row] : self._end[row]].tolist()
        return closes

    def _row(self, series: Series) -> int:
        row = self._rows.get(series)
        if row is None:
            row = self._rows[series] = len(self._rows)
            for column in (self._end, self._count, self._newest_ms):
                column.append(0)
            if row >= len(self._open_ms):
                more = max(_FIRST_CAPACITY, len(self._open_ms))
                self._values, self._open_ms, self._revision, self._unusable, self._mark = (
                    np.concatenate(
                        [grid, np.zeros((*grid.shape[:-2], more, grid.shape[-1]), dtype=grid.dtype)], axis=-2
                    )
                    for grid in (self._values, self._open_ms, self._revision, self._unusable, self._mark)
                )
        return row

    def _append(self, row: int, candle: Candle) -> None:
        self._put(row, self._next_place(row), candle)
        self._newest_ms[row] = candle.open_time_ms

    def _next_place(self, row: int) -> int:
        """Where the row's next candle goes; the row counts it from now on."""
        end = self._end[row]
        if end == 2 * self.length:
            keep = self.length - 1
            for grid in (self._values, self._open_ms, self._revision, self._unusable, self._mark):
                grid[..., row, :keep] = grid[..., row, end - keep : end]
            end = self._count[row] = keep
        self._end[row] = end + 1
        self._count[row] = min(self._count[row] + 1, self.length)
        return end

    def _put_all(self, rows: list[int], places: list[int], candles: Sequence[Candle]) -> None:
        self._changed()
        values = [_values(candle) for candle in candles]
        at = (np.array(rows), np.array(places))
        self._values[:, *at] = np.array(values).T
        self._mark[at] = [candle_mark(candle.open_time_ms, one) for candle, one in zip(candles, values, strict=True)]
        self._open_ms[at] = [candle.open_time_ms for candle in candles]
        self._revision[at] = [candle.revision for candle in candles]
        self._unusable[at] = [not candle.usable for candle in candles]

    def _put(self, row: int, place: int, candle: Candle) -> None:
        self._changed()
        values = _values(candle)
        self._values[:, row, place] = values
        self._mark[row, place] = candle_mark(candle.open_time_ms, values)
        self._open_ms[row, place] = candle.open_time_ms
        self._revision[row, place] = candle.revision
        self._unusable[row, place] = not candle.usable


def windows_of(
    timeframe: Timeframe,
    open_ms: IntGrid,
    values: npt.NDArray[np.float64],
    revision: IntGrid,
    unusable: npt.NDArray[np.bool_],
    marks: IntGrid,
) -> Windows:
    """Windows from grids of shape (n, length) and, for values, (5, n, length): open, high, low, close, volume.

    marks: candle_mark of every candle.
    """
    columns = np.ascontiguousarray(values)
    digests = _digests(marks)
    first_ms, first_revision = open_ms[:, 0].tolist(), revision[:, 0].tolist()
    rows, length = open_ms.shape
    # Corrected and partial candles are rare: one look at the whole grid usually tells for every row.
    are_alike = bool(np.logical_and.reduce(revision == first_revision[0], axis=None))
    steady = [True] * rows if are_alike else (revision == revision[:, :1]).all(axis=1).tolist()
    spoilt = bool(np.logical_or.reduce(unusable, axis=None))
    return Windows(
        columns=_columns(columns, open_ms),
        records=tuple(
            WindowRecord(
                timeframe=timeframe,
                first_open_time_ms=first_ms[row],
                length=length,
                digest=digest,
                revisions=((first_revision[row], length),) if steady[row] else run_lengths(revision[row].tolist()),
            )
            for row, digest in enumerate(digests)
        ),
        unusable=tuple(unusable.sum(axis=1).tolist()) if spoilt else (0,) * rows,
    )


def windows_of_candles(candles: Sequence[Candle], length: int = WINDOW_LENGTH) -> Windows:
    """Every full window inside a run of consecutive candles, one row per window, oldest first; needs length candles."""
    require(len(candles) >= length, f"at least {length} candles are needed", len(candles), "windows")
    view = np.lib.stride_tricks.sliding_window_view
    values = np.array([_values(candle) for candle in candles])
    return windows_of(
        candles[0].timeframe,
        # A copy: of one window alone a view is contiguous, and stays read-only, which kernels refuse.
        view(np.array([candle.open_time_ms for candle in candles], dtype=np.int64), length).copy(),
        view(values, length, axis=0).transpose(1, 0, 2),
        view(np.array([candle.revision for candle in candles], dtype=np.int64), length),
        view(np.array([not candle.usable for candle in candles]), length),
        view(marks_of(candles), length),
    )


def rows_or_missing(windows: Windows | None, rows: Sequence[int | None], timeframe: Timeframe, length: int) -> Windows:
    """Some rows of the windows, in this order; a None row is all NaN, has no record, and is named in `missing`."""
    values = np.full((_COLUMNS, len(rows), length), np.nan)
    open_ms = np.zeros((len(rows), length), dtype=np.int64)
    chosen = [(place, row) for place, row in enumerate(rows) if row is not None]
    records: list[WindowRecord | None] = [None] * len(rows)
    unusable = [0] * len(rows)
    if windows is not None and chosen:
        places, picked = [place for place, _ in chosen], [row for _, row in chosen]
        own = windows.columns
        for column, grid in enumerate((own.open, own.high, own.low, own.close, own.volume)):
            values[column, places] = grid[picked]
        if own.open_time_ms is not None:
            open_ms[places] = own.open_time_ms[picked]
        for place, row in chosen:
            records[place], unusable[place] = windows.records[row], windows.unusable[row]
    missing = {place: missing_text(timeframe, length, 0) for place, row in enumerate(rows) if row is None}
    return Windows(columns=_columns(values, open_ms), records=tuple(records), unusable=tuple(unusable), missing=missing)


def missing_text(timeframe: Timeframe, length: int, held: int) -> str:
    """The note of a Decision whose optional window of `length` candles is not whole; `held`: how many there are."""
    lacking = length - held
    what = f"{lacking} of {length} candles are missing" if lacking > 0 else "the last candles do not reach this close"
    return f"not_enough_history {timeframe}: {what}"


def window_digest(candles: Sequence[Candle]) -> str:
    """The digest of a window: names open times and OHLCV, as float64, of its candles.

    First 32 hex digits of the SHA-256 over the candles' marks (see candle_mark), each little-endian, oldest first. A candle's
    mark is made once, when it arrives: naming a window of 350 candles then reads 3 KB, not 17.
    """
    return _digests(marks_of(candles)[None, :])[0]


def candle_mark(open_time_ms: int, values: tuple[float, float, float, float, float]) -> int:
    """64 bits that name a candle: BLAKE2b over open time (int64), open, high, low, close, volume (float64), little-endian."""
    return int.from_bytes(blake2b(_PACKED.pack(open_time_ms, *values), digest_size=8).digest(), "little", signed=True)


def marks_of(candles: Sequence[Candle]) -> IntGrid:
    """candle_mark of each."""
    return np.array([candle_mark(candle.open_time_ms, _values(candle)) for candle in candles], dtype="<i8")


def consecutive_tail(candles: Sequence[Candle], timeframe: Timeframe) -> Sequence[Candle]:
    """The longest run without a hole at the end of candles that are oldest first."""
    start = len(candles) - 1
    while start > 0 and candles[start].open_time_ms - candles[start - 1].open_time_ms == timeframe.duration_ms:
        start -= 1
    return candles[max(start, 0) :]


def run_lengths(values: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(value, count) of each run: [1, 1, 2] -> ((1, 2), (2, 1))."""
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    return tuple(runs)


def _columns(values: npt.NDArray[np.float64], open_ms: IntGrid) -> WindowColumns:
    return WindowColumns(
        open=values[0],
        high=values[1],
        low=values[2],
        close=values[3],
        volume=values[4],
        open_time_ms=np.ascontiguousarray(open_ms),
    )


def _values(candle: Candle) -> tuple[float, float, float, float, float]:
    return candle.open, candle.high, candle.low, candle.close, float(candle.volume)


def _digests(marks: IntGrid) -> list[str]:
    """One digest per row."""
    packed = np.ascontiguousarray(marks, dtype="<i8")
    return [hashlib.sha256(row.data).hexdigest()[:_DIGEST_LENGTH] for row in packed]
