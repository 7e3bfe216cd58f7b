"""True range, ATR and Bollinger bands, checked."""

from typing import Final

import numpy as np

from shared.indicators.checked.values import (
    Bands,
    FloatArray,
    check_factor,
    check_window,
    choice,
    empty,
    series,
    together,
)

ATR_KINDS: Final = {"wilder": 0, "first_range": 1, "sma": 2}


def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """The largest of high - low, |high - last close| and |low - last close|; NaN for the first candle."""
    from shared.indicators.kernels import volatility

    highs, lows, closes = together(high=high, low=low, close=close)
    out = np.empty_like(closes)
    volatility.true_range(highs, lows, closes, out)
    return out


def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14, kind: str = "wilder") -> FloatArray:
    """Average true range.

    kind:    `wilder`: RMA of the true ranges from the second candle on, first value at index `period` (TA-Lib).
             `first_range`: the first candle counts with high - low, first value at index period - 1.
             `sma`: mean of the true ranges of the last `period` candles, the first of which only gives its close: 13 ranges
             for 14 (`sma13`, SYSTEMS 5.2); first value at index period - 1; period >= 2.
    Returns: shape (n,), quote currency; NaN while warming up.
    """
    from shared.indicators.kernels import volatility

    highs, lows, closes = together(high=high, low=low, close=close)
    chosen = choice(kind, ATR_KINDS, "kind", "atr")
    check_window(period, "period", "atr", least=2 if kind == "sma" else 1)
    out = np.empty_like(closes)
    volatility.atr(highs, lows, closes, period, chosen, out)
    return out


def bollinger(close: FloatArray, window: int = 20, deviations: float = 2.0) -> Bands:
    """Mean of each window, the current close included, and bands at `deviations` population standard deviations.

    Returns: upper, middle, lower; NaN for the first window - 1 closes and for every window that holds a NaN.
    """
    from shared.indicators.kernels import volatility

    values = series(close, "close")
    check_window(window, "window", "bollinger")
    check_factor(deviations, "deviations", "bollinger")
    upper, middle, lower = empty(values, 3)
    volatility.bollinger(values, window, float(deviations), upper, middle, lower)
    return Bands(upper, middle, lower)
