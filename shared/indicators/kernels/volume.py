"""Volume: daily VWAP, the z-score of volume, on-balance volume."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import MOMENTS_HEAD, deviation_of, mean_of, moments_step

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

DAY_MS: Final = 86_400_000
VWAP_STATE: Final = 5  # candles seen, day, sum of typical price times volume, sum of volume, last value
OBV_STATE: Final = 3  # candles seen, last close, sum


@kernel(
    "void(int64[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1])",
)
def vwap_daily_advance(
    open_time_ms: "IntArray",
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    volume: "FloatArray",
    state: "FloatArray",
    out: "FloatArray",
) -> None:
    """Daily VWAP of the candles that follow those in `state` (VWAP_STATE); see checked.vwap_daily."""
    for i in range(high.shape[0]):
        day = float(open_time_ms[i] // DAY_MS)
        if state[0] == 0.0 or day != state[1]:
            state[1] = day
            state[2] = 0.0
            state[3] = 0.0
            state[4] = float("nan")
        state[0] = 1.0
        turnover = (high[i] + low[i] + close[i]) / 3.0 * volume[i]
        # False for zero volume and for any NaN: such a candle carries the day's last value on.
        if volume[i] > 0.0 and turnover == turnover:  # noqa: PLR0124 - only NaN differs from itself
            state[2] += turnover
            state[3] += volume[i]
            state[4] = state[2] / state[3]
        out[i] = state[4]


@kernel("void(int64[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1])")
def vwap_daily(
    open_time_ms: "IntArray",
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    volume: "FloatArray",
    out: "FloatArray",
) -> None:
    """Volume-weighted average price since 00:00 UTC; see checked.vwap_daily."""
    vwap_daily_advance(open_time_ms, high, low, close, volume, np.zeros(VWAP_STATE), out)


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def volume_zscore_advance(volume: "FloatArray", window: int, state: "FloatArray", out: "FloatArray") -> None:
    """Z-score of the volumes that follow those in `state` (zscore_state(window)); see checked.volume_zscore."""
    for i in range(volume.shape[0]):
        full = moments_step(state, 0, volume[i], window)
        mean = mean_of(state, 0, window)
        deviation = deviation_of(state, 0, window)
        if not full:
            out[i] = float("nan")
        elif deviation <= 1e-12 * abs(mean):
            out[i] = 0.0
        else:
            # The sample deviation: what a rolling standard deviation of window - 1 degrees of freedom gives.
            out[i] = (volume[i] - mean) / (deviation * np.sqrt(window / (window - 1.0)))


@kernel("void(float64[::1], int64, float64[::1])")
def volume_zscore(volume: "FloatArray", window: int, out: "FloatArray") -> None:
    """How many deviations a volume lies above the mean of its window; see checked.volume_zscore."""
    volume_zscore_advance(volume, window, np.zeros(MOMENTS_HEAD + window), out)


def zscore_state(window: int) -> int:
    """Length of the state of volume_zscore_advance."""
    return MOMENTS_HEAD + window


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1])")
def obv_advance(close: "FloatArray", volume: "FloatArray", state: "FloatArray", out: "FloatArray") -> None:
    """OBV of the candles that follow those in `state` (OBV_STATE); see checked.obv."""
    for i in range(close.shape[0]):
        if state[0] == 0.0:
            state[2] = 0.0 * (close[i] + volume[i])
        elif close[i] > state[1]:
            state[2] += volume[i]
        elif close[i] < state[1]:
            state[2] -= volume[i]
        elif close[i] != state[1] or volume[i] != volume[i]:  # a NaN
            state[2] = float("nan")
        state[0] = 1.0
        state[1] = close[i]
        out[i] = state[2]


@kernel("void(float64[::1], float64[::1], float64[::1])")
def obv(close: "FloatArray", volume: "FloatArray", out: "FloatArray") -> None:
    """On-balance volume; see checked.obv."""
    obv_advance(close, volume, np.zeros(OBV_STATE), out)
