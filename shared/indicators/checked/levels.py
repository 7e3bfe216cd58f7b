"""Swing points, checked."""

import numpy as np

from shared.indicators.checked.values import BoolArray, FloatArray, check_window, series


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
    from shared.indicators.kernels.levels import is_swing

    checked = series(values, "values")
    check_window(bars, "bars", "swing points")
    return np.array([is_swing(checked, i, bars, sign) for i in range(len(checked))], dtype=np.bool_)
