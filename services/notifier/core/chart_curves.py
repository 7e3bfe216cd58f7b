"""Makers of curves and panes, each from columns of candles and a Decision's parameters. NumPy only, no kernel is loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from services.notifier.core.chart_values import Cloud, Column, Line, Pane, Tick
from shared.domain.candles import Candle
from shared.indicators.plain import wilder_rsi

FloatArray = npt.NDArray[np.float64]


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """All candles at hand as float64 of shape (n,), oldest first; curves are computed over all, shown for the last `shown`."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    open_time_ms: npt.NDArray[np.int64]
    shown: int

    def column(self, values: FloatArray) -> Column:
        """The shown part; None where a value is not a number."""
        return tuple(value if value == value else None for value in values[-self.shown :].tolist())  # noqa: PLR0124 - NaN


Maker = Callable[[Columns, Mapping[str, object]], Sequence[Cloud | Line | Pane]]


def columns_of(candles: Sequence[Candle], shown: int) -> Columns:
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
    )


def number(parameters: Mapping[str, object], name: str, default: float) -> float:
    """The parameter as recorded in the Decision; the default where it has none of that name."""
    value = parameters.get(name, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def rsi(period: str = "rsi_period", low: str = "", high: str = "") -> Maker:
    """A pane with Wilder's RSI between two thresholds; arguments name the strategy's parameters (14, 30 and 70 without)."""

    def make(columns: Columns, parameters: Mapping[str, object]) -> Sequence[Pane]:
        length = round(number(parameters, period, _RSI_PERIOD))
        bounds = (number(parameters, low, 30.0), number(parameters, high, 70.0))
        values = columns.column(wilder_rsi(columns.close, length))
        pane = Pane(
            title=f"RSI {length}",
            low=0.0,
            high=100.0,
            lines=(Line(name="", values=values, colour="first"),),
            thresholds=bounds,
            band=bounds,
            ticks=tuple(Tick(bound, f"{bound:g}") for bound in bounds),
            last=last_of(values),
        )
        return [pane]

    return make


def last_of(values: Column, text: str = "{:.1f}") -> Tick | None:
    """The newest value as a tick; None where there is none."""
    value = values[-1] if values else None
    return None if value is None else Tick(value, text.format(value))


_RSI_PERIOD: Final = 14
