"""Swing points, divergences between them and Fibonacci pivots, checked."""

import math
from typing import NamedTuple

import numpy as np

from shared.domain.checks import require
from shared.indicators.checked.values import BoolArray, FloatArray, check_window, series, together


class Pivots(NamedTuple):
    """Fibonacci pivot levels of a day, quote currency."""

    p: float
    r1: float
    r2: float
    r3: float
    s1: float
    s2: float
    s3: float


def swing_lows(low: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing lows: lower than the `bars` values before, not above the `bars` values after.

    low:     shape (n,), oldest first. bars: >= 1.
    Returns: shape (n,). A swing is known only `bars` values later; the first and last `bars` values are never one.
    """
    return _swings(low, bars, 1.0)


def swing_highs(high: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing highs: the mirror image of swing_lows."""
    return _swings(high, bars, -1.0)


def bullish_divergence(low: FloatArray, oscillator: FloatArray, bars: int = 3, distance_max: int = 60) -> FloatArray:
    """Divergence between the swing low that this candle confirms and the nearest one before it.

    low, oscillator: shape (n,). bars: as for swing_lows: the low itself lies `bars` candles back, and the value is never taken
    back. distance_max: candles between the two lows.
    Returns: shape (n,): 1 regular (lower low in price, higher low in the oscillator), 2 hidden (the other way round), else 0.
    """
    return _divergences(low, oscillator, bars, distance_max, "bullish")


def bearish_divergence(high: FloatArray, oscillator: FloatArray, bars: int = 3, distance_max: int = 60) -> FloatArray:
    """The mirror image of bullish_divergence, on swing highs: 1 is a higher high in price and a lower one in the oscillator."""
    return _divergences(high, oscillator, bars, distance_max, "bearish")


def fibonacci_pivots(high: float, low: float, close: float) -> Pivots:
    """P = (H + L + C) / 3; R and S at 0.382, 0.618 and 1 of the range above and below it.

    high, low, close: of one *finished* day, finite and > 0, low <= close <= high; the caller picks the day before the candle's.
    """
    from shared.indicators.kernels import levels

    check_day(high, low, close)
    out = np.empty(7)
    levels.fibonacci_pivots(float(high), float(low), float(close), out)
    return Pivots(*out.tolist())


def check_day(high: float, low: float, close: float) -> None:
    """A finished day's prices: finite and > 0, low <= close <= high."""
    for name, value in (("high", high), ("low", low), ("close", close)):
        require(math.isfinite(value) and value > 0, f"{name} must be finite and > 0", value, "fibonacci_pivots")
    require(low <= close <= high, f"close must be low..high ({low}..{high})", close, "fibonacci_pivots")


def _swings(values: FloatArray, bars: int, sign: float) -> BoolArray:
    from shared.indicators.kernels.levels import is_swing

    checked = series(values, "values")
    check_window(bars, "bars", "swing points")
    return np.array([is_swing(checked, i, bars, sign) for i in range(len(checked))], dtype=np.bool_)


def _divergences(price: FloatArray, oscillator: FloatArray, bars: int, distance_max: int, side: str) -> FloatArray:
    from shared.indicators.kernels import levels

    prices, strengths = together(price=price, oscillator=oscillator)
    check_window(bars, "bars", "divergence")
    check_window(distance_max, "distance_max", "divergence")
    out = np.empty_like(prices)
    getattr(levels, f"{side}_divergence")(prices, strengths, bars, distance_max, out)
    return out
