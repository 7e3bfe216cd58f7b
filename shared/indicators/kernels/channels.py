"""Keltner channel, and how much returns vary."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import (
    EMA_STATE,
    MOMENTS_HEAD,
    SEED_FIRST,
    deviation_of,
    mean_of,
    moments_step,
    smooth_step,
)
from shared.indicators.kernels.volatility import ATR_FIRST_RANGE, ATR_WILDER, RANGE_STATE, atr_step

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

KELTNER_STATE: Final = 2 * EMA_STATE + RANGE_STATE

# What is told of simple returns: their sample deviation, the root of their mean square, or the sum of their squares.
RETURNS_DEVIATION: Final = 0
RETURNS_ROOT_MEAN_SQUARE: Final = 1
RETURNS_VARIANCE: Final = 2


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64, float64, int64, int64, float64[::1],"
    " float64[::1], float64[::1], float64[::1])"
)
def keltner_advance(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    multiplier: float,
    atr_period: int,
    seed: int,
    state: "FloatArray",
    upper: "FloatArray",
    middle: "FloatArray",
    lower: "FloatArray",
) -> None:
    """Keltner channel of the candles that follow those in `state` (KELTNER_STATE); see checked.keltner."""
    alpha = 2.0 / (period + 1.0)
    kind = ATR_FIRST_RANGE if seed == SEED_FIRST else ATR_WILDER
    for i in range(high.shape[0]):
        middle[i] = smooth_step(state, 0, close[i], period, alpha, seed)
        reach = multiplier * atr_step(state, EMA_STATE, high[i], low[i], close[i], atr_period, kind)
        upper[i] = middle[i] + reach
        lower[i] = middle[i] - reach


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64, float64, int64, int64,"
    " float64[::1], float64[::1], float64[::1])"
)
def keltner(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    multiplier: float,
    atr_period: int,
    seed: int,
    upper: "FloatArray",
    middle: "FloatArray",
    lower: "FloatArray",
) -> None:
    """EMA of the close and bands `multiplier` ATRs about it; see checked.keltner."""
    state = np.zeros(KELTNER_STATE)
    keltner_advance(high, low, close, period, multiplier, atr_period, seed, state, upper, middle, lower)


@kernel("void(float64[::1], int64, int64, float64, float64[::1], float64[::1])")
def realised_volatility_advance(
    close: "FloatArray", window: int, kind: int, scale: float, state: "FloatArray", out: "FloatArray"
) -> None:
    """Volatility of the closes that follow those in `state` (volatility_state(window)); see checked.realised_volatility."""
    for i in range(close.shape[0]):
        before = state[1]
        seen = state[0]
        state[0] = 1.0
        state[1] = close[i]
        out[i] = float("nan")
        if seen == 0.0 or not moments_step(state, 2, close[i] / before - 1.0, window):
            continue
        mean = mean_of(state, 2, window)
        deviation = deviation_of(state, 2, window)
        if kind == RETURNS_DEVIATION:
            out[i] = scale * deviation * np.sqrt(window / (window - 1.0))
        elif kind == RETURNS_ROOT_MEAN_SQUARE:
            out[i] = scale * np.sqrt(deviation * deviation + mean * mean)
        else:
            out[i] = scale * window * (deviation * deviation + mean * mean)


@kernel("void(float64[::1], int64, int64, float64, float64[::1])")
def realised_volatility(close: "FloatArray", window: int, kind: int, scale: float, out: "FloatArray") -> None:
    """How much the simple returns of a window vary; see checked.realised_volatility."""
    realised_volatility_advance(close, window, kind, scale, np.zeros(2 + MOMENTS_HEAD + window), out)


def volatility_state(window: int) -> int:
    """Length of the state of realised_volatility_advance."""
    return 2 + MOMENTS_HEAD + window
