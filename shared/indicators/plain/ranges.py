"""True range, ATR, bands, channels, ADX and Supertrend without Numba. Arguments are described in `checked`."""

import math

import numpy as np

from shared.indicators.checked.averages import SEEDS
from shared.indicators.checked.channels import RETURN_KINDS
from shared.indicators.checked.trend import ADX_SEEDINGS
from shared.indicators.checked.values import (
    Bands,
    Directional,
    FloatArray,
    Trend,
    check_factor,
    check_window,
    choice,
    series,
    together,
)
from shared.indicators.checked.volatility import ATR_KINDS
from shared.indicators.plain.averages import sma, smoothed


def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """True range; see checked.true_range."""
    highs, lows, closes = together(high=high, low=low, close=close)
    before = np.concatenate([closes[:1] * np.nan, closes[:-1]])
    widest: FloatArray = np.maximum(np.maximum(highs - lows, np.abs(highs - before)), np.abs(lows - before))
    return widest


def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14, kind: str = "wilder") -> FloatArray:
    """Average true range; see checked.atr."""
    choice(kind, ATR_KINDS, "kind", "atr")
    check_window(period, "period", "atr", least=2 if kind == "sma" else 1)
    ranges = true_range(high, low, close)
    if kind == "sma":
        return sma(ranges, period - 1)
    if kind == "first_range" and len(ranges):
        ranges[0] = high[0] - low[0]
    return smoothed(ranges, period, 1.0 / period, "average")


def bollinger(close: FloatArray, window: int = 20, deviations: float = 2.0) -> Bands:
    """Bollinger bands; see checked.bollinger."""
    values = series(close, "close")
    check_factor(deviations, "deviations", "bollinger")
    middle = sma(values, window)
    spread = np.full(len(values), np.nan)
    if len(values) >= window:
        squares = np.zeros(len(values) - window + 1)
        for offset in range(window):  # in the kernel's order
            squares += (values[offset : offset + len(squares)] - middle[window - 1 :]) ** 2
        spread[window - 1 :] = np.sqrt(squares / window)
    return Bands(middle + deviations * spread, middle, middle - deviations * spread)


def keltner(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    period: int = 20,
    multiplier: float = 2.0,
    atr_period: int = 10,
    seed: str = "average",
) -> Bands:
    """Keltner channel; see checked.keltner."""
    values = series(close, "close")
    check_window(period, "period", "keltner")
    check_factor(multiplier, "multiplier", "keltner")
    check_window(atr_period, "atr_period", "keltner")
    choice(seed, SEEDS, "seed", "keltner")
    middle = smoothed(values, period, 2.0 / (period + 1.0), seed)
    reach = multiplier * atr(high, low, close, atr_period, "first_range" if seed == "first" else "wilder")
    return Bands(middle + reach, middle, middle - reach)


def realised_volatility(close: FloatArray, window: int = 20, kind: str = "deviation", scale: float = 1.0) -> FloatArray:
    """How much the simple returns of a window vary; see checked.realised_volatility."""
    values = series(close, "close")
    check_window(window, "window", "realised_volatility", least=2)
    check_factor(scale, "scale", "realised_volatility")
    choice(kind, RETURN_KINDS, "kind", "realised_volatility")
    out = np.full(len(values), np.nan)
    if len(values) > window:
        parts = np.lib.stride_tricks.sliding_window_view(values[1:] / values[:-1] - 1.0, window)
        squares = (parts**2).sum(axis=1)
        found = {"root_mean_square": np.sqrt(squares / window), "variance": squares}
        out[window:] = scale * (parts.std(axis=1, ddof=1) if kind == "deviation" else found[kind])
    return out


def adx(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14, seeding: str = "talib") -> Directional:
    """+DI, -DI and ADX; see checked.adx."""
    highs, lows, closes = together(high=high, low=low, close=close)
    check_window(period, "period", "adx")
    choice(seeding, ADX_SEEDINGS, "seeding", "adx")
    up, down = np.diff(highs), -np.diff(lows)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    begin = period if seeding == "classic" else period - 1
    span, rise, fall = (
        _wilder_sum(values, period, begin) for values in (true_range(highs, lows, closes)[1:], plus, minus)
    )
    quiet = span == 0
    measure = np.where(quiet, 1.0, span)
    plus_di, minus_di = np.full((2, len(closes)), np.nan)
    plus_di[1:] = np.where(quiet, 0.0 * span, 100.0 * rise / measure)
    minus_di[1:] = np.where(quiet, 0.0 * span, 100.0 * fall / measure)
    return Directional(plus_di, minus_di, _average_dx(plus_di, minus_di, period))


def _wilder_sum(values: FloatArray, period: int, begin: int) -> FloatArray:
    """Sum of the first `begin` values, then sum * (period - 1) / period + new; NaN before the first `period`."""
    total, kept, found = 0.0, (period - 1.0) / period, []
    for i, value in enumerate(values.tolist()):
        total = total * (1.0 if i < begin else kept) + value
        found.append(total if i >= period - 1 else math.nan)
    return np.array(found, dtype=np.float64)


def _average_dx(plus_di: FloatArray, minus_di: FloatArray, period: int) -> FloatArray:
    out, average = np.full(len(plus_di), np.nan), 0.0
    for seen, i in enumerate(range(period, len(plus_di)), 1):
        both = plus_di[i] + minus_di[i]
        dx = 100.0 * abs(plus_di[i] - minus_di[i]) / both if both != 0 else 0.0
        if seen <= period:
            average = average + dx if seen < period else (average + dx) / period
        elif both != 0:
            average = (average * (period - 1) + dx) / period
        if seen >= period:
            out[i] = average
    return out


def supertrend(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int = 10, multiplier: float = 3.0
) -> Trend:
    """Supertrend line and direction; see checked.supertrend."""
    highs, lows, closes = together(high=high, low=low, close=close)
    check_factor(multiplier, "multiplier", "supertrend")
    reach = multiplier * atr(highs, lows, closes, period)
    middle = (highs + lows) / 2.0
    line, direction = np.full((2, len(closes)), np.nan)
    known = ~np.isnan(reach)
    begin = int(known.argmax()) if known.any() else len(closes)
    upper, lower = math.inf, -math.inf
    rising = begin < len(closes) and bool(closes[begin] >= middle[begin])
    for i in range(begin, len(closes)):
        above, below = middle[i] + reach[i], middle[i] - reach[i]
        if math.isnan(above):
            break  # and so for ever
        upper = above if above < upper or closes[i - 1] > upper else upper
        lower = below if below > lower or closes[i - 1] < lower else lower
        rising = not closes[i] <= (lower if rising else upper)
        line[i], direction[i] = (lower, 1.0) if rising else (upper, -1.0)
    return Trend(line, direction)
