"""Oscillators of a window: stochastic, Ehlers' Fisher transform, the Magical Momentum Histogram."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import MOMENTS_HEAD, deviation_of, mean_of, moments_step
from shared.indicators.kernels.extremes import ROLLING_HEAD, rolling_step

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

FISHER_CLAMP: Final = 0.999
MMH_CLAMP: Final = 0.9999
MMH_FLAT: Final = 1e-10
MMH_DEVIATION_WINDOW: Final = 50
_MMH_HEAD: Final = 4  # closes seen, worm, v, histogram


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64, int64, int64, float64[::1], float64[::1], float64[::1])",
)
def stochastic_advance(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    window: int,
    smoothing: int,
    signal: int,
    state: "FloatArray",
    k: "FloatArray",
    d: "FloatArray",
) -> None:
    """%K and %D of the candles that follow those in `state` (stochastic_state); see checked.stochastic."""
    below = ROLLING_HEAD + 2 * window
    fast = 2 * below
    slow = fast + MOMENTS_HEAD + smoothing
    for i in range(high.shape[0]):
        highest = rolling_step(state, 0, high[i], window, 1.0)
        lowest = rolling_step(state, below, low[i], window, -1.0)
        k[i] = d[i] = float("nan")
        raw = 50.0 if highest == lowest else 100.0 * (close[i] - lowest) / (highest - lowest)
        if state[fast] == 0.0 and (highest != highest or lowest != lowest):  # noqa: PLR0124 - NaN: still warming up
            continue
        if moments_step(state, fast, raw, smoothing):
            k[i] = mean_of(state, fast, smoothing)
        elif state[fast] < smoothing:
            continue
        if moments_step(state, slow, k[i], signal):
            d[i] = mean_of(state, slow, signal)


@kernel("void(float64[::1], float64[::1], float64[::1], int64, int64, int64, float64[::1], float64[::1])")
def stochastic(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    window: int,
    smoothing: int,
    signal: int,
    k: "FloatArray",
    d: "FloatArray",
) -> None:
    """Where the close lies in the range of the window, smoothed, and the mean of that; see checked.stochastic."""
    state = np.zeros(2 * (ROLLING_HEAD + 2 * window) + 2 * MOMENTS_HEAD + smoothing + signal)
    stochastic_advance(high, low, close, window, smoothing, signal, state, k, d)


def stochastic_state(window: int, smoothing: int, signal: int) -> int:
    """Length of the state of stochastic_advance."""
    return 2 * (ROLLING_HEAD + 2 * window) + 2 * MOMENTS_HEAD + smoothing + signal


@kernel("void(float64[::1], float64[::1], int64, float64[::1], float64[::1], float64[::1])")
def fisher_advance(
    high: "FloatArray",
    low: "FloatArray",
    window: int,
    state: "FloatArray",
    line: "FloatArray",
    trigger: "FloatArray",
) -> None:
    """Fisher transform of the candles that follow those in `state` (fisher_state(window)); see checked.fisher."""
    below = ROLLING_HEAD + 2 * window
    own = 2 * below
    for i in range(high.shape[0]):
        middle = (high[i] + low[i]) / 2.0
        highest = rolling_step(state, 0, middle, window, 1.0)
        lowest = rolling_step(state, below, middle, window, -1.0)
        line[i] = trigger[i] = float("nan")
        if highest != highest:  # noqa: PLR0124 - NaN
            continue
        position = 0.5 if highest == lowest else (middle - lowest) / (highest - lowest)
        value = 0.66 * (position - 0.5) + 0.67 * state[own]
        value = min(max(value, -FISHER_CLAMP), FISHER_CLAMP)
        trigger[i] = state[own + 1]
        line[i] = 0.5 * np.log((1.0 + value) / (1.0 - value)) + 0.5 * state[own + 1]
        state[own] = value
        state[own + 1] = line[i]


@kernel("void(float64[::1], float64[::1], int64, float64[::1], float64[::1])")
def fisher(high: "FloatArray", low: "FloatArray", window: int, line: "FloatArray", trigger: "FloatArray") -> None:
    """Ehlers' Fisher transform and its last value; see checked.fisher."""
    fisher_advance(high, low, window, np.zeros(2 * (ROLLING_HEAD + 2 * window) + 2), line, trigger)


def fisher_state(window: int) -> int:
    """Length of the state of fisher_advance."""
    return 2 * (ROLLING_HEAD + 2 * window) + 2


@kernel("void(float64[::1], int64, float64, float64[::1], float64[::1])")
def mmh_advance(
    close: "FloatArray", period: int, responsiveness: float, state: "FloatArray", out: "FloatArray"
) -> None:
    """Magical Momentum Histogram of the closes that follow those in `state` (mmh_state(period)); see checked.mmh."""
    spread = _MMH_HEAD
    mean = spread + MOMENTS_HEAD + MMH_DEVIATION_WINDOW
    above = mean + MOMENTS_HEAD + period
    below = above + ROLLING_HEAD + 2 * period
    for i in range(close.shape[0]):
        out[i] = float("nan")
        wide = moments_step(state, spread, close[i], MMH_DEVIATION_WINDOW)
        reach = responsiveness * deviation_of(state, spread, MMH_DEVIATION_WINDOW) if wide else 0.0
        # The worm follows the close, by at most `reach` per candle.
        step = close[i] - state[1]
        state[1] = close[i] if state[0] == 0.0 else state[1] + min(max(step, -reach), reach)
        if step != step:  # noqa: PLR0124 - NaN ends the worm for good
            state[1] = step
        state[0] = 1.0
        known = moments_step(state, mean, close[i], period)
        raw = (state[1] - mean_of(state, mean, period)) / state[1] if known else float("nan")
        highest = rolling_step(state, above, raw, period, 1.0)
        lowest = rolling_step(state, below, raw, period, -1.0)
        if not highest - lowest >= MMH_FLAT:  # also where either is NaN; both recursions start anew from nothing
            state[2] = 0.0
            state[3] = 0.0
            continue
        value = (raw - lowest) / (highest - lowest) - 0.5 + 0.5 * state[2]
        state[2] = min(max(value, -MMH_CLAMP), MMH_CLAMP)
        state[3] = 0.25 * np.log((1.0 + state[2]) / (1.0 - state[2])) + 0.5 * state[3]
        out[i] = state[3]


@kernel("void(float64[::1], int64, float64, float64[::1])")
def mmh(close: "FloatArray", period: int, responsiveness: float, out: "FloatArray") -> None:
    """Magical Momentum Histogram; see checked.mmh."""
    size = _MMH_HEAD + 2 * MOMENTS_HEAD + MMH_DEVIATION_WINDOW + 2 * ROLLING_HEAD + 5 * period
    mmh_advance(close, period, responsiveness, np.zeros(size), out)


def mmh_state(period: int) -> int:
    """Length of the state of mmh_advance."""
    return _MMH_HEAD + 2 * MOMENTS_HEAD + MMH_DEVIATION_WINDOW + 2 * ROLLING_HEAD + 5 * period
