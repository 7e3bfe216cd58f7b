"""Stochastic, Fisher transform and Magical Momentum Histogram, checked."""

from typing import Final, NamedTuple

import numpy as np

from shared.domain.checks import require
from shared.indicators.checked.values import FloatArray, check_factor, check_window, empty, series, together

RESPONSIVENESS_MIN: Final = 1e-5


class Stochastic(NamedTuple):
    """%K and its mean %D, each of shape (n,), 0..100."""

    k: FloatArray
    d: FloatArray


class Fisher(NamedTuple):
    """The Fisher transform and its value one candle earlier, each of shape (n,)."""

    line: FloatArray
    trigger: FloatArray


def stochastic(
    high: FloatArray, low: FloatArray, close: FloatArray, window: int = 14, smoothing: int = 3, signal: int = 3
) -> Stochastic:
    """Where the close lies in the range of the window: %K the mean of `smoothing` of them, %D the mean of `signal` %K.

    A window without any range counts as the middle, 50.
    Returns: %K from index window + smoothing - 2 on, %D from signal - 1 later; NaN before and about a NaN.
    """
    from shared.indicators.kernels import oscillators

    highs, lows, closes = together(high=high, low=low, close=close)
    check_smoothing(window, smoothing, signal)
    k, d = empty(closes, 2)
    oscillators.stochastic(highs, lows, closes, window, smoothing, signal, k, d)
    return Stochastic(k, d)


def fisher(high: FloatArray, low: FloatArray, window: int = 10) -> Fisher:
    """Ehlers' Fisher transform of the place of (high + low) / 2 in its window.

    x = 0.66 * (place - 0.5) + 0.67 * x[1], held within 0.999; F = 0.5 * ln((1 + x) / (1 - x)) + 0.5 * F[1]. A window without
    any range counts as the middle, 0.5. The trigger is F[1], 0 for the first.
    Returns: NaN for the first window - 1 candles and for every window that holds a NaN.
    """
    from shared.indicators.kernels import oscillators

    highs, lows = together(high=high, low=low)
    check_window(window, "window", "fisher")
    line, trigger = empty(highs, 2)
    oscillators.fisher(highs, lows, window, line, trigger)
    return Fisher(line, trigger)


def mmh(close: FloatArray, period: int = 144, responsiveness: float = 0.9) -> FloatArray:
    """Magical Momentum Histogram.

    1. reach = population deviation of 50 closes * responsiveness, 0 while there are fewer; the worm follows the close by
       at most that per candle.   2. raw = (worm - SMA(close, period)) / worm.   3. t = place of raw in the range of its last
       `period` values.   4. v = t - 0.5 + 0.5 * v[1], held within 0.9999.   5. m = 0.25 * ln((1 + v) / (1 - v)) + 0.5 * m[1].
    responsiveness: 1e-5..1. period: >= 2.
    Returns: shape (n,); NaN for the first 2 * period - 2 closes (286 for 144), and where raw has kept within 1e-10: v and m
             then start anew from 0. After a NaN close all that follow are NaN.
    """
    from shared.indicators.kernels import oscillators

    values = series(close, "close")
    check_mmh(period, responsiveness)
    out = np.empty_like(values)
    oscillators.mmh(values, period, float(responsiveness), out)
    return out


def check_smoothing(window: int, smoothing: int, signal: int) -> None:
    """The stochastic's windows: whole numbers >= 1."""
    for name, value in (("window", window), ("smoothing", smoothing), ("signal", signal)):
        check_window(value, name, "stochastic")


def check_mmh(period: int, responsiveness: float) -> None:
    """The histogram's period, a whole number >= 2, and its responsiveness, 1e-5..1."""
    check_window(period, "period", "mmh", least=2)
    check_factor(responsiveness, "responsiveness", "mmh")
    require(RESPONSIVENESS_MIN <= responsiveness <= 1, "responsiveness must be 1e-5..1", responsiveness, "mmh")
