"""Smoothers: the Kalman filter of one value, the smooth RSI on it, the range filter and the Cirrus cloud of two."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import EMA_STATE, SEED_FIRST, smooth_step
from shared.indicators.kernels.momentum import RSI_STATE, rsi_step

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

KALMAN_STATE: Final = 3  # values seen, estimate, its error
SMOOTH_RSI_STATE: Final = RSI_STATE + KALMAN_STATE + EMA_STATE
RANGE_FILTER_STATE: Final = 3 + 2 * EMA_STATE  # values seen, last value, filter; the two averages of the change
CIRRUS_STATE: Final = 2 * RANGE_FILTER_STATE + 1  # two filters, direction


@kernel("float64(float64[::1], int64, float64, float64, float64, float64)", inline=True)
def kalman_step(
    state: "FloatArray", at: int, value: float, length: float, measurement_noise: float, process_noise: float
) -> float:
    """One value into the filter in state[at:at + KALMAN_STATE]; leading NaNs are skipped."""
    if state[at] == 0.0:
        if value == value:  # noqa: PLR0124 - not NaN
            state[at] = 1.0
            state[at + 1] = value
            state[at + 2] = 1.0
        return value
    error = state[at + 2]
    gain = error / (error + measurement_noise * length)
    state[at + 1] += gain * (value - state[at + 1])
    state[at + 2] = (1.0 - gain) * error + process_noise / length
    estimate: float = state[at + 1]
    return estimate


@kernel("void(float64[::1], int64, float64, float64, float64[::1], float64[::1])")
def kalman_advance(
    values: "FloatArray",
    length: int,
    measurement_noise: float,
    process_noise: float,
    state: "FloatArray",
    out: "FloatArray",
) -> None:
    """Kalman estimate of the values that follow those in `state` (KALMAN_STATE); see checked.kalman."""
    for i in range(values.shape[0]):
        out[i] = kalman_step(state, 0, values[i], float(length), measurement_noise, process_noise)


@kernel("void(float64[::1], int64, float64, float64, float64[::1])")
def kalman(
    values: "FloatArray", length: int, measurement_noise: float, process_noise: float, out: "FloatArray"
) -> None:
    """Kalman filter of one value that wanders; see checked.kalman."""
    kalman_advance(values, length, measurement_noise, process_noise, np.zeros(KALMAN_STATE), out)


@kernel("void(float64[::1], int64, int64, float64, float64, int64, float64[::1], float64[::1])")
def smooth_rsi_advance(
    close: "FloatArray",
    period: int,
    length: int,
    measurement_noise: float,
    process_noise: float,
    smoothing: int,
    state: "FloatArray",
    out: "FloatArray",
) -> None:
    """Smooth RSI of the closes that follow those in `state` (SMOOTH_RSI_STATE); see checked.smooth_rsi."""
    alpha = 2.0 / (smoothing + 1.0)
    for i in range(close.shape[0]):
        strength = rsi_step(state, 0, close[i], period)
        estimate = kalman_step(state, RSI_STATE, strength, float(length), measurement_noise, process_noise)
        out[i] = smooth_step(state, RSI_STATE + KALMAN_STATE, estimate, smoothing, alpha, SEED_FIRST)


@kernel("void(float64[::1], int64, int64, float64, float64, int64, float64[::1])")
def smooth_rsi(
    close: "FloatArray",
    period: int,
    length: int,
    measurement_noise: float,
    process_noise: float,
    smoothing: int,
    out: "FloatArray",
) -> None:
    """RSI, through a Kalman filter, through an EMA; see checked.smooth_rsi."""
    state = np.zeros(SMOOTH_RSI_STATE)
    smooth_rsi_advance(close, period, length, measurement_noise, process_noise, smoothing, state, out)


@kernel("float64(float64[::1], int64, float64, int64, float64)", inline=True)
def range_filter_step(state: "FloatArray", at: int, value: float, period: int, multiplier: float) -> float:
    """One value into the filter in state[at:at + RANGE_FILTER_STATE]."""
    before = state[at + 1]
    seen = state[at]
    state[at] = 1.0
    state[at + 1] = value
    if seen == 0.0:
        state[at + 2] = value
        return value
    wide = 2 * period - 1
    change = smooth_step(state, at + 3, abs(value - before), period, 2.0 / (period + 1.0), SEED_FIRST)
    reach = multiplier * smooth_step(state, at + 5, change, wide, 2.0 / (wide + 1.0), SEED_FIRST)
    if reach != reach:  # noqa: PLR0124 - NaN ends the filter for good, as it ends the averages
        state[at + 2] = reach
    elif value > state[at + 2]:
        state[at + 2] = max(state[at + 2], value - reach)
    else:
        state[at + 2] = min(state[at + 2], value + reach)
    line: float = state[at + 2]
    return line


@kernel("void(float64[::1], int64, float64, float64[::1], float64[::1])")
def range_filter_advance(
    close: "FloatArray", period: int, multiplier: float, state: "FloatArray", out: "FloatArray"
) -> None:
    """Range filter of the closes that follow those in `state` (RANGE_FILTER_STATE); see checked.range_filter."""
    for i in range(close.shape[0]):
        out[i] = range_filter_step(state, 0, close[i], period, multiplier)


@kernel("void(float64[::1], int64, float64, float64[::1])")
def range_filter(close: "FloatArray", period: int, multiplier: float, out: "FloatArray") -> None:
    """The close without what stays within its usual range; see checked.range_filter."""
    range_filter_advance(close, period, multiplier, np.zeros(RANGE_FILTER_STATE), out)


@kernel(
    "void(float64[::1], int64, float64, int64, float64, float64[::1], float64[::1], float64[::1], float64[::1])",
)
def cirrus_cloud_advance(
    close: "FloatArray",
    period_1: int,
    multiplier_1: float,
    period_2: int,
    multiplier_2: float,
    state: "FloatArray",
    filter_1: "FloatArray",
    filter_2: "FloatArray",
    direction: "FloatArray",
) -> None:
    """Cirrus cloud of the closes that follow those in `state` (CIRRUS_STATE); see checked.cirrus_cloud."""
    last = CIRRUS_STATE - 1
    for i in range(close.shape[0]):
        filter_1[i] = range_filter_step(state, 0, close[i], period_1, multiplier_1)
        filter_2[i] = range_filter_step(state, RANGE_FILTER_STATE, close[i], period_2, multiplier_2)
        if filter_1[i] < filter_2[i]:
            state[last] = 1.0
        elif filter_1[i] > filter_2[i]:
            state[last] = -1.0
        elif filter_1[i] != filter_2[i]:
            state[last] = float("nan")
        elif state[last] == 0.0:  # equal from the start
            state[last] = 1.0
        direction[i] = state[last]


@kernel("void(float64[::1], int64, float64, int64, float64, float64[::1], float64[::1], float64[::1])")
def cirrus_cloud(
    close: "FloatArray",
    period_1: int,
    multiplier_1: float,
    period_2: int,
    multiplier_2: float,
    filter_1: "FloatArray",
    filter_2: "FloatArray",
    direction: "FloatArray",
) -> None:
    """Two range filters and which of them is above: 1 up, -1 down; see checked.cirrus_cloud."""
    state = np.zeros(CIRRUS_STATE)
    cirrus_cloud_advance(close, period_1, multiplier_1, period_2, multiplier_2, state, filter_1, filter_2, direction)
