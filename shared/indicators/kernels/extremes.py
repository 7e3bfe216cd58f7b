"""Highest and lowest of a window, in a ring that cannot overrun, and the Donchian channel."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

ROLLING_HEAD: Final = 4  # values seen, first of the queue, one past its last, values since the last NaN


@kernel("float64(float64[::1], int64, float64, int64, float64)", inline=True)
def rolling_step(state: "FloatArray", at: int, value: float, window: int, sign: float) -> float:
    """One value into the queue in state[at:at + ROLLING_HEAD + 2 * window]; the window's highest (sign 1) or lowest (-1).

    NaN until `window` values were seen, and while the window holds a NaN. The queue holds the values that may still become
    the extreme, falling from its head, each with its number; head and tail count on for ever and are taken modulo the
    window. At most `window` values are live, so that a monotone series fills the ring and never overruns it.
    """
    number = state[at]
    head = int(state[at + 1])
    tail = int(state[at + 2])
    ring = at + ROLLING_HEAD
    state[at] = number + 1.0
    if value != value:  # noqa: PLR0124 - NaN
        state[at + 1] = 0.0
        state[at + 2] = 0.0
        state[at + 3] = 0.0
        return value
    state[at + 3] += 1.0
    if head < tail and state[ring + window + head % window] <= number - window:
        head += 1
    while head < tail and sign * state[ring + (tail - 1) % window] <= sign * value:
        tail -= 1
    state[ring + tail % window] = value
    state[ring + window + tail % window] = number
    tail += 1
    state[at + 1] = head
    state[at + 2] = tail
    return state[ring + head % window] if state[at + 3] >= window else float("nan")


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def rolling_max_advance(values: "FloatArray", window: int, state: "FloatArray", out: "FloatArray") -> None:
    """Highest of each window, going on from `state` (rolling_state(window)); see checked.rolling_max."""
    for i in range(values.shape[0]):
        out[i] = rolling_step(state, 0, values[i], window, 1.0)


@kernel("void(float64[::1], int64, float64[::1])")
def rolling_max(values: "FloatArray", window: int, out: "FloatArray") -> None:
    """Highest of each `window` values; see checked.rolling_max."""
    rolling_max_advance(values, window, np.zeros(ROLLING_HEAD + 2 * window), out)


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def rolling_min_advance(values: "FloatArray", window: int, state: "FloatArray", out: "FloatArray") -> None:
    """Lowest of each window, going on from `state` (rolling_state(window)); see checked.rolling_min."""
    for i in range(values.shape[0]):
        out[i] = rolling_step(state, 0, values[i], window, -1.0)


@kernel("void(float64[::1], int64, float64[::1])")
def rolling_min(values: "FloatArray", window: int, out: "FloatArray") -> None:
    """Lowest of each `window` values; see checked.rolling_min."""
    rolling_min_advance(values, window, np.zeros(ROLLING_HEAD + 2 * window), out)


def rolling_state(window: int) -> int:
    """Length of the state of rolling_max_advance and rolling_min_advance."""
    return ROLLING_HEAD + 2 * window


@kernel("void(float64[::1], float64[::1], int64, float64[::1], float64[::1], float64[::1], float64[::1])")
def donchian_advance(
    high: "FloatArray",
    low: "FloatArray",
    window: int,
    state: "FloatArray",
    upper: "FloatArray",
    middle: "FloatArray",
    lower: "FloatArray",
) -> None:
    """Donchian channel, going on from `state` (donchian_state(window)); see checked.donchian."""
    below = ROLLING_HEAD + 2 * window
    for i in range(high.shape[0]):
        upper[i] = rolling_step(state, 0, high[i], window, 1.0)
        lower[i] = rolling_step(state, below, low[i], window, -1.0)
        middle[i] = (upper[i] + lower[i]) / 2.0


@kernel("void(float64[::1], float64[::1], int64, float64[::1], float64[::1], float64[::1])")
def donchian(
    high: "FloatArray", low: "FloatArray", window: int, upper: "FloatArray", middle: "FloatArray", lower: "FloatArray"
) -> None:
    """Highest high, middle and lowest low of each `window` candles, the current one included; see checked.donchian."""
    donchian_advance(high, low, window, np.zeros(2 * (ROLLING_HEAD + 2 * window)), upper, middle, lower)


def donchian_state(window: int) -> int:
    """Length of the state of donchian_advance."""
    return 2 * rolling_state(window)
