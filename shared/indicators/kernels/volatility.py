"""Volatility: true range, ATR in three kinds, Bollinger bands."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import (
    EMA_STATE,
    MOMENTS_HEAD,
    SEED_AVERAGE,
    deviation_of,
    mean_of,
    moments_step,
    smooth_step,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# Wilder: the first candle has no true range. First range: it has high - low, as spreadsheets and Tulip take it. SMA: mean
# of the true ranges of the last `period` candles, the first of which only gives its close: 13 ranges for 14.
ATR_WILDER: Final = 0
ATR_FIRST_RANGE: Final = 1
ATR_SMA: Final = 2

RANGE_STATE: Final = 2  # candles seen, last close


@kernel("float64(float64[::1], int64, float64, float64, float64, boolean)", inline=True)
def range_step(state: "FloatArray", at: int, high: float, low: float, close: float, first: bool) -> float:  # noqa: FBT001 - a compiled function takes no keywords
    """True range of one candle after the one in state[at:at + RANGE_STATE]; `first`: the first has high - low, not NaN."""
    before: float = state[at + 1]
    seen = state[at]
    state[at] = 1.0
    state[at + 1] = close
    widest = high - low
    if seen == 0.0:
        return widest if first else float("nan")
    if before != before:  # noqa: PLR0124 - NaN: without the last close the range is unknown
        return before
    up = abs(high - before)
    down = abs(low - before)
    if up > widest:  # noqa: PLR1730 - max() treats NaN differently
        widest = up
    if down > widest:  # noqa: PLR1730 - a branch keeps NaN out, max() would not
        widest = down
    return widest


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[::1])")
def true_range_advance(
    high: "FloatArray", low: "FloatArray", close: "FloatArray", state: "FloatArray", out: "FloatArray"
) -> None:
    """True range of the candles that follow that in `state` (RANGE_STATE); see checked.true_range."""
    for i in range(high.shape[0]):
        out[i] = range_step(state, 0, high[i], low[i], close[i], False)


@kernel("void(float64[::1], float64[::1], float64[::1], float64[::1])")
def true_range(high: "FloatArray", low: "FloatArray", close: "FloatArray", out: "FloatArray") -> None:
    """True range, NaN for the first candle; see checked.true_range."""
    true_range_advance(high, low, close, np.zeros(RANGE_STATE), out)


@kernel("float64(float64[::1], int64, float64, float64, float64, int64, int64)", inline=True)
def atr_step(state: "FloatArray", at: int, high: float, low: float, close: float, period: int, kind: int) -> float:
    """One candle into the ATR in state[at:at + atr_state(period)]."""
    widest = range_step(state, at, high, low, close, kind == ATR_FIRST_RANGE)
    here = at + RANGE_STATE
    if kind != ATR_SMA:
        return smooth_step(state, here, widest, period, 1.0 / period, SEED_AVERAGE)
    if state[here] == 0.0 and widest != widest:  # noqa: PLR0124 - NaN: the first candle only gives its close
        return widest
    full = moments_step(state, here, widest, period - 1)
    return mean_of(state, here, period - 1) if full else float("nan")


@kernel("void(float64[::1], float64[::1], float64[::1], int64, int64, float64[::1], float64[::1])")
def atr_advance(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    kind: int,
    state: "FloatArray",
    out: "FloatArray",
) -> None:
    """ATR of the candles that follow those in `state` (atr_state(period)); see checked.atr."""
    for i in range(high.shape[0]):
        out[i] = atr_step(state, 0, high[i], low[i], close[i], period, kind)


@kernel("void(float64[::1], float64[::1], float64[::1], int64, int64, float64[::1])")
def atr(high: "FloatArray", low: "FloatArray", close: "FloatArray", period: int, kind: int, out: "FloatArray") -> None:
    """Average true range; see checked.atr."""
    atr_advance(high, low, close, period, kind, np.zeros(RANGE_STATE + EMA_STATE + MOMENTS_HEAD + period), out)


def atr_state(period: int) -> int:
    """Length of the state of atr_advance."""
    return RANGE_STATE + EMA_STATE + MOMENTS_HEAD + period


@kernel("void(float64[::1], int64, float64, float64[::1], float64[::1], float64[::1])")
def bollinger(
    close: "FloatArray",
    window: int,
    deviations: float,
    upper: "FloatArray",
    middle: "FloatArray",
    lower: "FloatArray",
) -> None:
    """Mean of each window and bands `deviations` population deviations about it; see checked.bollinger."""
    for i in range(close.shape[0]):
        if i + 1 < window:
            upper[i] = middle[i] = lower[i] = float("nan")
            continue
        # Summed anew for each window and twice: neither rounding nor cancellation is carried along.
        total = 0.0
        for j in range(i + 1 - window, i + 1):
            total += close[j]
        mean = total / window
        squares = 0.0
        for j in range(i + 1 - window, i + 1):
            squares += (close[j] - mean) * (close[j] - mean)
        reach = deviations * np.sqrt(squares / window)
        upper[i] = mean + reach
        middle[i] = mean
        lower[i] = mean - reach


@kernel("void(float64[::1], int64, float64, float64[::1], float64[::1], float64[::1], float64[::1])")
def bollinger_advance(
    close: "FloatArray",
    window: int,
    deviations: float,
    state: "FloatArray",
    upper: "FloatArray",
    middle: "FloatArray",
    lower: "FloatArray",
) -> None:
    """Bollinger bands of the closes that follow those in `state` (bollinger_state(window)); within rounding of `bollinger`."""
    for i in range(close.shape[0]):
        full = moments_step(state, 0, close[i], window)
        middle[i] = mean_of(state, 0, window) if full else float("nan")
        reach = deviations * deviation_of(state, 0, window)
        upper[i] = middle[i] + reach
        lower[i] = middle[i] - reach


def bollinger_state(window: int) -> int:
    """Length of the state of bollinger_advance."""
    return MOMENTS_HEAD + window
