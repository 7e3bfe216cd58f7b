"""Kalman filter, smooth RSI, range filter and Cirrus cloud without Numba. Arguments are described in `checked.smoothing`."""

import math

import numpy as np

from shared.indicators.checked.smoothing import Cloud, check_cloud, check_kalman
from shared.indicators.checked.values import FloatArray, check_factor, check_window, series
from shared.indicators.plain.averages import smoothed
from shared.indicators.plain.momentum import wilder_rsi


def kalman(
    values: FloatArray, length: int = 5, measurement_noise: float = 0.01, process_noise: float = 0.1
) -> FloatArray:
    """Kalman filter of one value; see checked.kalman."""
    checked = series(values, "values")
    check_kalman(length, measurement_noise, process_noise, "kalman")
    out: list[float] = []
    estimate, error = math.nan, 1.0
    begun = False
    for value in checked.tolist():
        if begun:
            gain = error / (error + measurement_noise * length)
            estimate += gain * (value - estimate)
            error = (1.0 - gain) * error + process_noise / length
        else:
            estimate = value
            begun = not math.isnan(value)
        out.append(estimate)
    return np.array(out, dtype=np.float64)


def smooth_rsi(
    close: FloatArray,
    period: int = 21,
    length: int = 5,
    measurement_noise: float = 0.01,
    process_noise: float = 0.1,
    smoothing: int = 5,
) -> FloatArray:
    """RSI, through a Kalman filter, through an EMA; see checked.smooth_rsi."""
    check_window(smoothing, "smoothing", "smooth_rsi")
    estimate = kalman(wilder_rsi(close, period), length, measurement_noise, process_noise)
    return smoothed(estimate, smoothing, 2.0 / (smoothing + 1.0), "first")


def range_filter(close: FloatArray, period: int = 22, multiplier: float = 9.0) -> FloatArray:
    """Range filter; see checked.range_filter."""
    values = series(close, "close")
    check_window(period, "period", "range_filter")
    check_factor(multiplier, "multiplier", "range_filter")
    change = np.abs(np.diff(values))
    wide = 2 * period - 1
    average = smoothed(change, period, 2.0 / (period + 1.0), "first")
    reach = multiplier * smoothed(average, wide, 2.0 / (wide + 1.0), "first")
    out = values[:1].tolist()
    for value, most in zip(values[1:].tolist(), reach.tolist(), strict=True):
        last = out[-1]
        if math.isnan(most) or math.isnan(last):
            out.append(math.nan)
        else:
            out.append(max(last, value - most) if value > last else min(last, value + most))
    return np.array(out, dtype=np.float64)


def cirrus_cloud(
    close: FloatArray, period_1: int = 22, multiplier_1: float = 9.0, period_2: int = 15, multiplier_2: float = 5.0
) -> Cloud:
    """Two range filters and the direction they give; see checked.cirrus_cloud."""
    check_cloud(period_1, multiplier_1, period_2, multiplier_2)
    one, two = range_filter(close, period_1, multiplier_1), range_filter(close, period_2, multiplier_2)
    sign = np.where(one < two, 1.0, np.where(one > two, -1.0, 0.0))
    sign[np.isnan(one) | np.isnan(two)] = math.nan
    direction, last = [], 1.0
    for value in sign.tolist():
        last = value if value != 0 else last
        direction.append(last)
    return Cloud(one, two, np.array(direction, dtype=np.float64))
