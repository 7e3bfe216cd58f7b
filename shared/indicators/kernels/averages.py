"""Averages: SMA, EMA and Wilder's RMA, and the two steps that most other kernels are made of."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# How a recursive average starts: with the mean of its first `period` values (none before), or with its first value.
SEED_AVERAGE: Final = 0
SEED_FIRST: Final = 1

EMA_STATE: Final = 2  # values seen, average (their sum while seeding)
MOMENTS_HEAD: Final = (
    5  # values seen, sum and sum of squares of what is in the ring less the reference, NaNs, reference
)


@kernel("float64(float64[::1], int64, float64, int64, float64, int64)", inline=True)
def smooth_step(state: "FloatArray", at: int, value: float, period: int, alpha: float, seed: int) -> float:
    """One value into the recursive average in state[at:at + EMA_STATE]; NaN while seeding; leading NaNs are skipped."""
    seen = state[at] + 1.0
    if seen == 1.0 and value != value:  # noqa: PLR0124 - NaN
        return value
    state[at] = seen
    if seed == SEED_AVERAGE and seen <= period:
        state[at + 1] += value
        if seen < period:
            return float("nan")
        state[at + 1] /= period
    elif seen == 1.0:
        state[at + 1] = value
    else:
        state[at + 1] += (value - state[at + 1]) * alpha
    average: float = state[at + 1]
    return average


@kernel("void(float64[::1], int64, int64, float64[::1], float64[::1])")
def ema_advance(values: "FloatArray", period: int, seed: int, state: "FloatArray", out: "FloatArray") -> None:
    """EMA of the values that follow those in `state` (EMA_STATE); see checked.ema."""
    alpha = 2.0 / (period + 1.0)
    for i in range(values.shape[0]):
        out[i] = smooth_step(state, 0, values[i], period, alpha, seed)


@kernel("void(float64[::1], int64, int64, float64[::1])")
def ema(values: "FloatArray", period: int, seed: int, out: "FloatArray") -> None:
    """Exponential average, alpha 2 / (period + 1); see checked.ema."""
    ema_advance(values, period, seed, np.zeros(EMA_STATE), out)


@kernel("void(float64[::1], int64, int64, float64[::1], float64[::1])")
def rma_advance(values: "FloatArray", period: int, seed: int, state: "FloatArray", out: "FloatArray") -> None:
    """RMA of the values that follow those in `state` (EMA_STATE); see checked.rma."""
    alpha = 1.0 / period
    for i in range(values.shape[0]):
        out[i] = smooth_step(state, 0, values[i], period, alpha, seed)


@kernel("void(float64[::1], int64, int64, float64[::1])")
def rma(values: "FloatArray", period: int, seed: int, out: "FloatArray") -> None:
    """Wilder's average, alpha 1 / period; see checked.rma."""
    rma_advance(values, period, seed, np.zeros(EMA_STATE), out)


@kernel("void(float64[::1], int64, float64[::1])")
def sma(values: "FloatArray", window: int, out: "FloatArray") -> None:
    """Mean of each `window` values, the current one included, into `out`; NaN before. See checked.sma."""
    for i in range(values.shape[0]):
        if i + 1 < window:
            out[i] = float("nan")
            continue
        total = 0.0
        # Summed anew for each window: a running sum would carry the rounding of all earlier values.
        for j in range(i + 1 - window, i + 1):
            total += values[j]
        out[i] = total / window


@kernel("boolean(float64[::1], int64, float64, int64)", inline=True)
def moments_step(state: "FloatArray", at: int, value: float, window: int) -> bool:
    """One value into the ring in state[at:at + MOMENTS_HEAD + window]; whether the ring is full and holds no NaN.

    The sums are taken about a reference value and anew at each turn of the ring: O(1) per value over a turn, and no
    rounding survives one. mean_of and deviation_of read them.
    """
    ring = at + MOMENTS_HEAD
    seen = int(state[at])
    slot = ring + seen % window
    if seen >= window:
        old = state[slot]
        if old != old:  # noqa: PLR0124 - NaN
            state[at + 3] -= 1.0
        else:
            state[at + 1] -= old - state[at + 4]
            state[at + 2] -= (old - state[at + 4]) * (old - state[at + 4])
    state[slot] = value
    state[at] = seen + 1.0
    if seen % window == 0 and value == value:  # noqa: PLR0124 - not NaN
        filled = window if seen >= window else seen + 1
        state[at + 4] = value
        state[at + 1] = 0.0
        state[at + 2] = 0.0
        for j in range(ring, ring + filled):
            if state[j] == state[j]:
                state[at + 1] += state[j] - value
                state[at + 2] += (state[j] - value) * (state[j] - value)
    elif value != value:  # noqa: PLR0124 - NaN
        state[at + 3] += 1.0
    else:
        state[at + 1] += value - state[at + 4]
        state[at + 2] += (value - state[at + 4]) * (value - state[at + 4])
    return seen + 1 >= window and state[at + 3] == 0.0


@kernel("float64(float64[::1], int64, int64)", inline=True)
def mean_of(state: "FloatArray", at: int, window: int) -> float:
    """Mean of a full ring of moments_step."""
    mean: float = state[at + 4] + state[at + 1] / window
    return mean


@kernel("float64(float64[::1], int64, int64)", inline=True)
def deviation_of(state: "FloatArray", at: int, window: int) -> float:
    """Population standard deviation of a full ring of moments_step; never NaN for rounding below zero."""
    mean = state[at + 1] / window
    variance = state[at + 2] / window - mean * mean
    return np.sqrt(variance) if variance > 0.0 else 0.0


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def sma_advance(values: "FloatArray", window: int, state: "FloatArray", out: "FloatArray") -> None:
    """SMA of the values that follow those in `state` (sma_state(window)); within rounding of `sma`."""
    for i in range(values.shape[0]):
        full = moments_step(state, 0, values[i], window)
        out[i] = mean_of(state, 0, window) if full else float("nan")


def sma_state(window: int) -> int:
    """Length of the state of sma_advance."""
    return MOMENTS_HEAD + window
