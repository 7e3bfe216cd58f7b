"""RSI, MACD, PPO, stochastic and MMH without Numba. Arguments are described in `checked.momentum`, `checked.oscillators`."""

import math

import numpy as np

from shared.indicators.checked.momentum import MACD_SEEDINGS, check_speeds
from shared.indicators.checked.oscillators import Stochastic, check_mmh, check_smoothing
from shared.indicators.checked.values import FloatArray, Lines, check_window, choice, series, together
from shared.indicators.plain.averages import rolling_max, rolling_min, sma, smoothed

_MMH_WINDOW = 50
_MMH_FLAT = 1e-10
_MMH_CLAMP = 0.9999


def wilder_rsi(close: FloatArray, period: int) -> FloatArray:
    """Wilder's RSI; see checked.wilder_rsi."""
    values = series(close, "close")
    check_window(period, "period", "wilder_rsi")
    out = np.full(len(values), np.nan)
    if len(values) <= period:
        return out
    change = np.diff(values)
    gains = np.where(change < 0, 0.0, change).tolist()
    losses = np.where(change > 0, 0.0, -change).tolist()
    gain, loss = sum(gains[:period]) / period, sum(losses[:period]) / period
    out[period] = _strength(gain, loss)
    for i in range(period, len(gains)):
        gain = (gain * (period - 1) + gains[i]) / period
        loss = (loss * (period - 1) + losses[i]) / period
        out[i + 1] = _strength(gain, loss)
    return out


def _strength(gain: float, loss: float) -> float:
    if loss == 0:
        return 50.0 if gain == 0 else 100.0
    return 100.0 - 100.0 / (1.0 + gain / loss)


def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal: int = 9, seeding: str = "talib") -> Lines:
    """MACD line, its signal and their difference; see checked.macd."""
    values = series(close, "close")
    check_speeds(fast, slow, signal, "macd")
    choice(seeding, MACD_SEEDINGS, "seeding", "macd")
    seed = "first" if seeding == "first" else "average"
    quick = np.full(len(values), np.nan)
    late = min(slow - fast, len(values)) if seeding == "talib" else 0
    quick[late:] = smoothed(values[late:], fast, 2.0 / (fast + 1.0), seed)
    line = quick - smoothed(values, slow, 2.0 / (slow + 1.0), seed)
    line[: slow - 1] = np.nan
    smooth = smoothed(line, signal, 2.0 / (signal + 1.0), seed)
    if seeding == "talib":
        line = np.where(np.isnan(smooth), np.nan, line)
    return Lines(line, smooth, line - smooth)


def ppo(close: FloatArray, fast: int = 7, slow: int = 16, signal: int = 5) -> Lines:
    """Percentage price oscillator; see checked.ppo."""
    values = series(close, "close")
    check_speeds(fast, slow, signal, "ppo")
    quick = smoothed(values, fast, 2.0 / (fast + 1.0), "first")
    steady = smoothed(values, slow, 2.0 / (slow + 1.0), "first")
    line = 100.0 * (quick - steady) / steady
    smooth = smoothed(line, signal, 2.0 / (signal + 1.0), "first")
    return Lines(line, smooth, line - smooth)


def stochastic(
    high: FloatArray, low: FloatArray, close: FloatArray, window: int = 14, smoothing: int = 3, signal: int = 3
) -> Stochastic:
    """%K and %D; see checked.stochastic."""
    highs, lows, closes = together(high=high, low=low, close=close)
    check_smoothing(window, smoothing, signal)
    highest, lowest = rolling_max(highs, window), rolling_min(lows, window)
    flat = highest == lowest
    span = np.where(flat, 1.0, highest - lowest)
    k = sma(np.where(flat, 50.0, 100.0 * (closes - lowest) / span), smoothing)
    return Stochastic(k, sma(k, signal))


def mmh(close: FloatArray, period: int = 144, responsiveness: float = 0.9) -> FloatArray:
    """Magical Momentum Histogram; see checked.mmh."""
    values = series(close, "close")
    check_mmh(period, responsiveness)
    worm = np.array(_worm(values, responsiveness))
    raw = (worm - sma(values, period)) / worm
    highest, lowest = rolling_max(raw, period), rolling_min(raw, period)
    out, v, m = [], 0.0, 0.0
    for value, high, low in zip(raw.tolist(), highest.tolist(), lowest.tolist(), strict=True):
        if not high - low >= _MMH_FLAT:  # also where either is NaN
            v = m = 0.0
            out.append(math.nan)
            continue
        v = min(max((value - low) / (high - low) - 0.5 + 0.5 * v, -_MMH_CLAMP), _MMH_CLAMP)
        m = 0.25 * math.log((1.0 + v) / (1.0 - v)) + 0.5 * m
        out.append(m)
    return np.array(out, dtype=np.float64)


def _worm(values: FloatArray, responsiveness: float) -> list[float]:
    reach = np.zeros(len(values))
    if len(values) >= _MMH_WINDOW:
        spread = np.lib.stride_tricks.sliding_window_view(values, _MMH_WINDOW).std(axis=1)
        reach[_MMH_WINDOW - 1 :] = responsiveness * np.nan_to_num(spread)
    worm: list[float] = values[:1].tolist()
    for value, most in zip(values[1:].tolist(), reach[1:].tolist(), strict=True):
        step = value - worm[-1]
        worm.append(worm[-1] + min(max(step, -most), most) if step == step else step)  # noqa: PLR0124 - not NaN
    return worm
