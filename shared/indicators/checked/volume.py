"""Daily VWAP, the z-score of volume and on-balance volume, checked."""

import numpy as np

from shared.indicators.checked.values import FloatArray, IntArray, check_window, series, times, together


def vwap_daily(
    open_time_ms: IntArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray
) -> FloatArray:
    """Volume-weighted mean of (high + low + close) / 3 since 00:00 UTC of the candle's opening day.

    A candle with zero volume, or with a NaN, carries the day's last value on; NaN where the day has none yet.
    open_time_ms: shape (n,), whole UTC epoch milliseconds, never falling.
    """
    from shared.indicators.kernels import volume as kernels

    highs, lows, closes, volumes = together(high=high, low=low, close=close, volume=volume)
    opened = times(open_time_ms, len(highs))
    out = np.empty_like(closes)
    kernels.vwap_daily(opened, highs, lows, closes, volumes, out)
    return out


def volume_zscore(volume: FloatArray, window: int = 20) -> FloatArray:
    """(volume - mean) / sample standard deviation (window - 1) of the window, the current candle included; 0 in a flat window.

    Returns: shape (n,); NaN for the first window - 1 candles and for every window that holds a NaN.
    """
    from shared.indicators.kernels import volume as kernels

    values = series(volume, "volume")
    check_window(window, "window", "volume_zscore", least=2)
    out = np.empty_like(values)
    kernels.volume_zscore(values, window, out)
    return out


def obv(close: FloatArray, volume: FloatArray) -> FloatArray:
    """On-balance volume: starts at 0, plus the volume of a candle that closes higher, minus that of one that closes lower."""
    from shared.indicators.kernels import volume as kernels

    closes, volumes = together(close=close, volume=volume)
    out = np.empty_like(closes)
    kernels.obv(closes, volumes, out)
    return out
