"""RSI, MACD, ADX, ATR and Bollinger bands of a whole market: many series in one call, one new candle of all at O(1) each.

MACD and ADX in TA-Lib's seeding, ATR and RSI in Wilder's; equal to the series of `checked` within rounding.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.checks import require
from shared.indicators.checked.momentum import check_speeds
from shared.indicators.checked.values import FloatArray, check_factor, check_window

_PLACE = "board"


class BoardParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Periods in candles; raises InvalidValueError naming the one out of range."""

    rsi_period: int = 14
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    adx_period: int = 14
    atr_period: int = 14
    window: int = 20
    deviations: float = 2.0

    def __post_init__(self) -> None:
        for name in ("rsi_period", "adx_period", "atr_period", "window"):
            check_window(getattr(self, name), name, _PLACE)
        check_speeds(self.macd_fast, self.macd_slow, self.macd_signal, _PLACE)
        check_factor(self.deviations, "deviations", _PLACE)

    @property
    def first(self) -> tuple[int, ...]:
        """Per output of BoardValues the index of a series' first value."""
        macd, band = self.macd_slow + self.macd_signal - 2, self.window - 1
        return (self.rsi_period, macd, macd, macd, 2 * self.adx_period - 1, self.atr_period, band, band, band)


class BoardValues(NamedTuple):
    """One value per row, shape (rows,), or per candle and row, shape (steps, rows), oldest first; NaN while warming up."""

    rsi: FloatArray
    macd: FloatArray
    signal: FloatArray
    histogram: FloatArray
    adx: FloatArray
    atr: FloatArray
    upper: FloatArray
    middle: FloatArray
    lower: FloatArray


class Board:
    """Keeps the state of `rows` series of equal age: 0.4 kB each.

    A NaN candle makes the later values of its row NaN: the bands for one to two windows, all others until the board is loaded
    anew. Other rows never notice.
    """

    def __init__(self, rows: int, parameters: BoardParameters | None = None) -> None:
        from shared.indicators.kernels import board

        check_window(rows, "rows", _PLACE)
        self._own = parameters or BoardParameters()
        self._kernels = board
        self._rows = rows
        own = self._own
        self._periods = np.array(
            [own.rsi_period, own.macd_fast, own.macd_slow, own.macd_signal, own.adx_period, own.atr_period, own.window],
            dtype=np.int64,
        )
        self._first = np.array(own.first, dtype=np.int64)
        blocks = -(-rows // board.LANES)
        self._state = np.zeros((blocks, board.RING + own.window * board.LANES))
        self._newest = np.empty((1, board.OUTPUTS, rows))
        self._values = BoardValues(*self._newest[0])

    def load(self, high: FloatArray, low: FloatArray, close: FloatArray) -> BoardValues:
        """Start anew with windows of shape (rows, length), oldest first; the values of their newest candle.

        The arrays returned are those of every call of load and update: copy what must outlive the next.
        """
        self._advance(self._grids(high, low, close), self._newest, fresh=True)
        return self._values

    def update(self, high: FloatArray, low: FloatArray, close: FloatArray) -> BoardValues:
        """One more candle of every row, columns of shape (rows,); its values, in the arrays that load returned."""
        columns = (np.asarray(column)[:, None] for column in (high, low, close))
        self._advance(self._grids(*columns), self._newest, fresh=False)
        return self._values

    def series(self, high: FloatArray, low: FloatArray, close: FloatArray, steps: int | None = None) -> BoardValues:
        """Start anew as `load` does; the values of the last `steps` candles (all without), shape (steps, rows)."""
        grids = self._grids(high, low, close)
        length = grids[2].shape[1]
        wanted = length if steps is None else steps
        check_window(wanted, "steps", _PLACE)
        require(wanted <= length, f"steps must be at most {length} candles", wanted, _PLACE)
        out = np.empty((wanted, self._kernels.OUTPUTS, self._rows))
        self._advance(grids, out, fresh=True)
        return BoardValues(*out.transpose(1, 0, 2))

    def _advance(self, grids: tuple[FloatArray, FloatArray, FloatArray], out: FloatArray, *, fresh: bool) -> None:
        deviations = float(self._own.deviations)
        self._kernels.board_advance(*grids, self._periods, deviations, self._first, fresh, self._state, out)
        # An infinite value never leaves the averages, so that it need not be looked for while all is well.
        if not np.isfinite(out[-1].sum()):
            for name, grid in zip(("high", "low", "close"), grids, strict=True):
                _refuse_infinite(grid, name)

    def _grids(self, high: Any, low: Any, close: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
        grids = (_grid(high, "high"), _grid(low, "low"), _grid(close, "close"))
        for name, grid in zip(("high", "low", "close"), grids, strict=True):
            fits = grid.shape == grids[2].shape and len(grid) == self._rows and grid.shape[1] > 0
            require(fits, f"{name} must have {self._rows} rows and as many candles as close", grid.shape, _PLACE)
        return grids


def _grid(values: Any, name: str) -> npt.NDArray[np.float64]:
    try:
        grid = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        grid = np.empty(0)
    require(grid.ndim == 2, f"{name} must be rows of numbers", values, _PLACE)  # noqa: PLR2004 - rows and candles
    return grid


def _refuse_infinite(grid: FloatArray, name: str) -> None:
    for row, candle in np.argwhere(np.isinf(grid))[:1].tolist():
        place = f"{_PLACE}, row {row}, candle {candle}; load it anew"
        require(False, f"{name} must hold no infinite value", grid[row, candle].item(), place)
