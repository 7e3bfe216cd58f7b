"""Daily VWAP, OBV and the z-score of volume without Numba. Arguments are described in `checked.volume`."""

import math

import numpy as np

from shared.indicators.checked.values import FloatArray, IntArray, check_window, series, times, together

_DAY_MS = 86_400_000


def vwap_daily(
    open_time_ms: IntArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray
) -> FloatArray:
    """Daily VWAP; see checked.vwap_daily."""
    highs, lows, closes, volumes = together(high=high, low=low, close=close, volume=volume)
    days = (times(open_time_ms, len(highs)) // _DAY_MS).tolist()
    turnovers = ((highs + lows + closes) / 3.0 * volumes).tolist()
    out: list[float] = []
    turnover = total = 0.0
    for i, (amount, quantity) in enumerate(zip(turnovers, volumes.tolist(), strict=True)):
        if i and days[i] != days[i - 1]:
            turnover = total = 0.0
        if quantity > 0 and not math.isnan(amount):
            turnover += amount
            total += quantity
        out.append(turnover / total if total else math.nan)
    return np.array(out, dtype=np.float64)


def obv(close: FloatArray, volume: FloatArray) -> FloatArray:
    """On-balance volume; see checked.obv."""
    closes, volumes = together(close=close, volume=volume)
    steps = np.sign(np.diff(closes)) * volumes[1:]
    return np.cumsum(np.concatenate([0.0 * (closes[:1] + volumes[:1]), steps]))


def volume_zscore(volume: FloatArray, window: int = 20) -> FloatArray:
    """Z-score of volume; see checked.volume_zscore."""
    values = series(volume, "volume")
    check_window(window, "window", "volume_zscore", least=2)
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        parts = np.lib.stride_tricks.sliding_window_view(values, window)
        flat = parts.max(axis=1) == parts.min(axis=1)
        spread = np.where(flat, 1.0, parts.std(axis=1, ddof=1))
        out[window - 1 :] = np.where(flat, 0.0, (parts[:, -1] - parts.mean(axis=1)) / spread)
    return out
