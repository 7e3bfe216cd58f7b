"""SMA, EMA, RMA, rolling extremes and Donchian without Numba. Arguments are described in `checked.averages`."""

import numpy as np

from shared.indicators.checked.averages import SEEDS
from shared.indicators.checked.values import Bands, FloatArray, check_window, choice, series, together


def sma(values: FloatArray, window: int) -> FloatArray:
    """Simple moving average; see checked.sma."""
    checked = series(values, "values")
    check_window(window, "window", "sma")
    out = np.full(len(checked), np.nan)
    if len(checked) < window:
        return out
    # Added one after the other, as the kernel does: np.sum adds pairwise and rounds differently.
    total = np.zeros(len(checked) - window + 1)
    for offset in range(window):
        total += checked[offset : offset + len(total)]
    out[window - 1 :] = total / window
    return out


def ema(values: FloatArray, period: int, seed: str = "average") -> FloatArray:
    """Exponential moving average; see checked.ema."""
    checked = series(values, "values")
    check_window(period, "period", "ema")
    choice(seed, SEEDS, "seed", "ema")
    return smoothed(checked, period, 2.0 / (period + 1.0), seed)


def rma(values: FloatArray, period: int, seed: str = "average") -> FloatArray:
    """Wilder's moving average; see checked.rma."""
    checked = series(values, "values")
    check_window(period, "period", "rma")
    choice(seed, SEEDS, "seed", "rma")
    return smoothed(checked, period, 1.0 / period, seed)


def smoothed(values: FloatArray, period: int, alpha: float, seed: str) -> FloatArray:
    """The recursive average that starts behind leading NaNs; arguments are taken as checked."""
    known = ~np.isnan(values)
    begin = int(known.argmax()) if known.any() else len(values)
    lead = period - 1 if seed == "average" else 0
    rest = values[begin:].tolist()
    out = np.full(len(values), np.nan)
    if len(rest) <= lead:
        return out
    average = sum(rest[: lead + 1]) / (lead + 1)
    found = [average]
    for value in rest[lead + 1 :]:
        average += (value - average) * alpha
        found.append(average)
    out[begin + lead :] = found
    return out


def rolling_max(values: FloatArray, window: int) -> FloatArray:
    """Highest of each window; see checked.rolling_max."""
    checked = series(values, "values")
    check_window(window, "window", "rolling_max")
    out = np.full(len(checked), np.nan)
    if len(checked) >= window:
        out[window - 1 :] = np.lib.stride_tricks.sliding_window_view(checked, window).max(axis=1)
    return out


def rolling_min(values: FloatArray, window: int) -> FloatArray:
    """Lowest of each window; see checked.rolling_min."""
    return -rolling_max(-series(values, "values"), window)


def donchian(high: FloatArray, low: FloatArray, window: int = 20) -> Bands:
    """Donchian channel; see checked.donchian."""
    highs, lows = together(high=high, low=low)
    upper, lower = rolling_max(highs, window), rolling_min(lows, window)
    return Bands(upper, (upper + lower) / 2.0, lower)
