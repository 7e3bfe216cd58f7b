"""Kalman filter, smooth RSI, range filter and Cirrus cloud, checked."""

from typing import NamedTuple

import numpy as np

from shared.indicators.checked.values import FloatArray, check_factor, check_window, empty, series


class Cloud(NamedTuple):
    """Two range filters and the direction they give, each of shape (n,): 1 up, -1 down."""

    filter_1: FloatArray
    filter_2: FloatArray
    direction: FloatArray


def kalman(
    values: FloatArray, length: int = 5, measurement_noise: float = 0.01, process_noise: float = 0.1
) -> FloatArray:
    """Kalman filter of one value that wanders: gain = e / (e + R * length), e = (1 - gain) * e + Q / length.

    The estimate starts as the first value with error 1, leading NaNs skipped; a later NaN makes all that follow NaN. With
    the defaults the gain settles at 0.4633 within 20 values.
    """
    from shared.indicators.kernels import smoothing

    checked = series(values, "values")
    check_kalman(length, measurement_noise, process_noise, "kalman")
    out = np.empty_like(checked)
    smoothing.kalman(checked, length, float(measurement_noise), float(process_noise), out)
    return out


def smooth_rsi(
    close: FloatArray,
    period: int = 21,
    length: int = 5,
    measurement_noise: float = 0.01,
    process_noise: float = 0.1,
    smoothing: int = 5,
) -> FloatArray:
    """Wilder's RSI through the Kalman filter, through an EMA that starts with its first value.

    Returns: shape (n,), 0..100; NaN for the first `period` closes.
    """
    from shared.indicators.kernels import smoothing as kernels

    values = series(close, "close")
    check_window(period, "period", "smooth_rsi")
    check_window(smoothing, "smoothing", "smooth_rsi")
    check_kalman(length, measurement_noise, process_noise, "smooth_rsi")
    out = np.empty_like(values)
    noise = (float(measurement_noise), float(process_noise))
    kernels.smooth_rsi(values, period, length, *noise, smoothing, out)
    return out


def range_filter(close: FloatArray, period: int = 22, multiplier: float = 9.0) -> FloatArray:
    """The close without what stays within its usual range.

    The range is multiplier * EMA(EMA(|change|, period), 2 * period - 1). The filter follows the close from that far behind and
    never turns before the close has come as far to its other side. Starts with the first close.
    """
    from shared.indicators.kernels import smoothing

    values = series(close, "close")
    check_window(period, "period", "range_filter")
    check_factor(multiplier, "multiplier", "range_filter")
    out = np.empty_like(values)
    smoothing.range_filter(values, period, float(multiplier), out)
    return out


def cirrus_cloud(
    close: FloatArray, period_1: int = 22, multiplier_1: float = 9.0, period_2: int = 15, multiplier_2: float = 5.0
) -> Cloud:
    """Two range filters: up while the first is below the second, down while above; equal keeps the direction, first up."""
    from shared.indicators.kernels import smoothing

    values = series(close, "close")
    check_cloud(period_1, multiplier_1, period_2, multiplier_2)
    filter_1, filter_2, direction = empty(values, 3)
    factors = (period_1, float(multiplier_1), period_2, float(multiplier_2))
    smoothing.cirrus_cloud(values, *factors, filter_1, filter_2, direction)
    return Cloud(filter_1, filter_2, direction)


def check_cloud(period_1: int, multiplier_1: float, period_2: int, multiplier_2: float) -> None:
    """The two filters' periods, whole numbers >= 1, and multipliers, finite and > 0."""
    for number, (period, multiplier) in enumerate(((period_1, multiplier_1), (period_2, multiplier_2)), 1):
        check_window(period, f"period_{number}", "cirrus_cloud")
        check_factor(multiplier, f"multiplier_{number}", "cirrus_cloud")


def check_kalman(length: int, measurement_noise: float, process_noise: float, indicator: str) -> None:
    """The filter's length, a whole number >= 1, and its noises, finite and > 0."""
    check_window(length, "length", indicator)
    check_factor(measurement_noise, "measurement_noise", indicator)
    check_factor(process_noise, "process_noise", indicator)
