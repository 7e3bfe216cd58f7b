"""Columns of candles, and what makers of curves and panes (chart_makers) share."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from services.notifier.core.chart_values import Cloud, Column, Line, Pane, Tick
from shared.domain.candles import Candle

FloatArray = npt.NDArray[np.float64]


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """All candles at hand as float64 of shape (n,), oldest first; curves are computed over all, shown for the last `shown`.

    decided: the Decision's candle among those shown: its values are the ones to tell.
    """

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    open_time_ms: npt.NDArray[np.int64]
    shown: int
    decided: int

    def column(self, values: FloatArray) -> Column:
        """The shown part; None where a value is not a number."""
        return tuple(value if value == value else None for value in values[-self.shown :].tolist())  # noqa: PLR0124 - NaN


Maker = Callable[[Columns, Mapping[str, object]], Sequence[Cloud | Line | Pane]]


def columns_of(candles: Sequence[Candle], shown: int, decided: int) -> Columns:
    """Columns of consecutive candles."""

    def array(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    return Columns(
        open=array([candle.open for candle in candles]),
        high=array([candle.high for candle in candles]),
        low=array([candle.low for candle in candles]),
        close=array([candle.close for candle in candles]),
        volume=array([float(candle.volume) for candle in candles]),
        open_time_ms=np.array([candle.open_time_ms for candle in candles], dtype=np.int64),
        shown=shown,
        decided=decided,
    )


def number(parameters: Mapping[str, object], name: str, default: float) -> float:
    """The parameter as recorded in the Decision; the default where it has none of that name."""
    value = parameters.get(name, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def curve(columns: Columns, values: FloatArray, name: str, colour: str, *, dashed: bool = False) -> Line:
    """The shown part of a series as a curve."""
    return Line(name=name, values=columns.column(values), colour=colour, dashed=dashed)


def fitted(*series: Column, zero: bool = False) -> tuple[float, float]:
    """An axis around the values with some air; around zero in equal parts if wished; -1..1 where there are none."""
    known = [value for values in series for value in values if value is not None]
    if not known:
        return -1.0, 1.0
    low, high = min(known), max(known)
    if zero:
        high = max(abs(low), abs(high))
        low = -high
    air = (high - low) * 0.12 or abs(high) * 0.01 or 1.0
    return low - air, high + air


def told(columns: Columns, line: Line, text: str = "{:.1f}") -> Tick | None:
    """The curve's value on the Decision's candle as a tick; None where it has none there."""
    value = line.values[columns.decided]
    return None if value is None else Tick(value, text.format(value))
