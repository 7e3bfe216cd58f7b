"""SMA, EMA, RMA and the highest and lowest of a window, checked."""

from typing import Final

import numpy as np

from shared.indicators.checked.values import Bands, FloatArray, check_window, choice, empty, series, together

SEEDS: Final = {"average": 0, "first": 1}


def sma(values: FloatArray, window: int) -> FloatArray:
    """Simple moving average, the current value included.

    values:  shape (n,), oldest first; a NaN makes every window that holds it NaN.
    window:  values per average, >= 1.
    Returns: shape (n,); NaN for the first window - 1 values.
    """
    from shared.indicators.kernels import averages

    checked = series(values, "values")
    check_window(window, "window", "sma")
    out = np.empty_like(checked)
    averages.sma(checked, window, out)
    return out


def ema(values: FloatArray, period: int, seed: str = "average") -> FloatArray:
    """Exponential moving average: average += (value - average) * 2 / (period + 1).

    values:  shape (n,), oldest first; leading NaNs are skipped, a later one makes all that follow NaN.
    seed:    `average`: starts with the mean of the first `period` values, NaN before (TA-Lib); `first`: with the first.
    Returns: shape (n,).
    """
    from shared.indicators.kernels import averages

    checked = series(values, "values")
    check_window(period, "period", "ema")
    out = np.empty_like(checked)
    averages.ema(checked, period, choice(seed, SEEDS, "seed", "ema"), out)
    return out


def rma(values: FloatArray, period: int, seed: str = "average") -> FloatArray:
    """Wilder's moving average (SMMA): as `ema`, with 1 / period for the weight of the new value."""
    from shared.indicators.kernels import averages

    checked = series(values, "values")
    check_window(period, "period", "rma")
    out = np.empty_like(checked)
    averages.rma(checked, period, choice(seed, SEEDS, "seed", "rma"), out)
    return out


def rolling_max(values: FloatArray, window: int) -> FloatArray:
    """Highest of each window, the current value included.

    values:  shape (n,), oldest first; a NaN makes every window that holds it NaN.
    Returns: shape (n,); NaN for the first window - 1 values.
    """
    from shared.indicators.kernels import extremes

    checked = series(values, "values")
    check_window(window, "window", "rolling_max")
    out = np.empty_like(checked)
    extremes.rolling_max(checked, window, out)
    return out


def rolling_min(values: FloatArray, window: int) -> FloatArray:
    """Lowest of each window: the mirror image of rolling_max."""
    from shared.indicators.kernels import extremes

    checked = series(values, "values")
    check_window(window, "window", "rolling_min")
    out = np.empty_like(checked)
    extremes.rolling_min(checked, window, out)
    return out


def donchian(high: FloatArray, low: FloatArray, window: int = 20) -> Bands:
    """Donchian channel: highest high and lowest low of each window, the current candle included; the middle is their mean.

    A strategy that asks for a close *beyond* the channel compares with the channel one candle earlier.
    Returns: upper, middle, lower; NaN for the first window - 1 candles.
    """
    from shared.indicators.kernels import extremes

    highs, lows = together(high=high, low=low)
    check_window(window, "window", "donchian")
    upper, middle, lower = empty(highs, 3)
    extremes.donchian(highs, lows, window, upper, middle, lower)
    return Bands(upper, middle, lower)
