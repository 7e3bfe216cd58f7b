"""Swing points and Fibonacci pivots without Numba. Arguments are described in `checked.levels`."""

import numpy as np

from shared.indicators.checked.levels import Pivots, check_day
from shared.indicators.checked.values import BoolArray, FloatArray, check_window, series


def swing_lows(low: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing lows; see checked.swing_lows."""
    values = series(low, "low")
    check_window(bars, "bars", "swing points")
    found = np.zeros(len(values), dtype=np.bool_)
    if len(values) > 2 * bars:
        middle = values[bars:-bars]
        inside = np.ones(len(middle), dtype=np.bool_)
        for shift in range(1, bars + 1):
            inside &= middle < values[bars - shift : len(values) - bars - shift]
            inside &= middle <= values[bars + shift : len(values) - bars + shift]
        found[bars:-bars] = inside
    return found


def swing_highs(high: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing highs; see checked.swing_highs."""
    return swing_lows(-series(high, "high"), bars)


def fibonacci_pivots(high: float, low: float, close: float) -> Pivots:
    """Fibonacci pivots of one finished day; see checked.fibonacci_pivots."""
    check_day(high, low, close)
    pivot, span = (high + low + close) / 3.0, high - low
    near, far = 0.382 * span, 0.618 * span
    return Pivots(pivot, pivot + near, pivot + far, pivot + span, pivot - near, pivot - far, pivot - span)
