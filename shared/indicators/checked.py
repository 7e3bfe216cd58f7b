"""The checked front of the kernels: arguments are tested here, once per call, because a kernel raises nothing."""

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.domain.checks import require

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def wilder_rsi(close: FloatArray, period: int) -> FloatArray:
    """Wilder's relative strength index.

    close:   shape (n,), quote currency, oldest first; a NaN makes every later value NaN.
    period:  candles of the average, >= 1.
    Returns: shape (n,), 0..100; NaN for the first `period` values. First averages: mean of the first `period` gains and
             losses; then (average * (period - 1) + new) / period. 100 where no loss is in the average, 50 where neither.
    """
    from shared.indicators import kernels

    values = series(close, "close")
    require(period >= 1, "period must be >= 1", period, "wilder_rsi")
    out = np.empty_like(values)
    kernels.wilder_rsi(values, period, out)
    return out


def sma(values: FloatArray, window: int) -> FloatArray:
    """Simple moving average, the current value included.

    values:  shape (n,), oldest first; a NaN makes every window that holds it NaN.
    window:  values per average, >= 1.
    Returns: shape (n,); NaN for the first window - 1 values.
    """
    from shared.indicators import kernels

    checked = series(values, "values")
    require(window >= 1, "window must be >= 1", window, "sma")
    out = np.empty_like(checked)
    kernels.sma(checked, window, out)
    return out


def swing_lows(low: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing lows: lower than the `bars` values before, not above the `bars` values after.

    low:     shape (n,), oldest first. bars: >= 1.
    Returns: shape (n,). A swing is known only `bars` values later; the first and last `bars` values are never one.
    """
    return _swings(low, bars, 1.0)


def swing_highs(high: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing highs: the mirror image of swing_lows."""
    return _swings(high, bars, -1.0)


def _swings(values: FloatArray, bars: int, sign: float) -> BoolArray:
    from shared.indicators import kernels

    checked = series(values, "values")
    require(bars >= 1, "bars must be >= 1", bars, "swing points")
    return np.array([kernels.is_swing(checked, i, bars, sign) for i in range(len(checked))], dtype=np.bool_)


def series(values: Any, name: str) -> FloatArray:
    """The values as one contiguous float64 row; raises InvalidValueError where they are no row of numbers."""
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    require(array.ndim == 1, f"{name} must be one row of numbers", values, "indicators")
    return array
