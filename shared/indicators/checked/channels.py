"""Keltner channel and realised volatility, checked."""

from typing import Final

import numpy as np

from shared.indicators.checked.averages import SEEDS
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

RETURN_KINDS: Final = {"deviation": 0, "root_mean_square": 1, "variance": 2}


def keltner(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    period: int = 20,
    multiplier: float = 2.0,
    atr_period: int = 10,
    seed: str = "average",
) -> Bands:
    """EMA of the close and bands `multiplier` ATRs (Wilder) about it.

    seed:    `average`: EMA from the mean of its first closes, ATR from the second candle on; `first`: EMA from the first
             close, ATR of kind `first_range`.
    Returns: upper, middle, lower; each NaN until its own parts are known.
    """
    from shared.indicators.kernels import channels

    highs, lows, closes = together(high=high, low=low, close=close)
    check_window(period, "period", "keltner")
    check_factor(multiplier, "multiplier", "keltner")
    check_window(atr_period, "atr_period", "keltner")
    chosen = choice(seed, SEEDS, "seed", "keltner")
    upper, middle, lower = empty(closes, 3)
    channels.keltner(highs, lows, closes, period, float(multiplier), atr_period, chosen, upper, middle, lower)
    return Bands(upper, middle, lower)


def realised_volatility(close: FloatArray, window: int = 20, kind: str = "deviation", scale: float = 1.0) -> FloatArray:
    """How much the last `window` simple returns vary, times `scale` (the root of candles per day gives a daily deviation).

    kind:    `deviation`: sample standard deviation (window - 1); `root_mean_square`: without taking off the mean;
             `variance`: sum of squares, the realised variance of Moreira and Muir.
    Returns: shape (n,); NaN for the first `window` closes, and while the window holds a NaN. closes must be > 0.
    """
    from shared.indicators.kernels import channels

    values = series(close, "close")
    check_window(window, "window", "realised_volatility", least=2)
    check_factor(scale, "scale", "realised_volatility")
    out = np.empty_like(values)
    chosen = choice(kind, RETURN_KINDS, "kind", "realised_volatility")
    channels.realised_volatility(values, window, chosen, float(scale), out)
    return out
