"""Price levels: swing points, divergences between them, Fibonacci pivots."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# What a pair of swings says: the price goes further and the oscillator does not, or the other way round.
REGULAR: Final = 1.0
HIDDEN: Final = 2.0

# Candles seen; the last swing's number plus 1 (0: none), price and oscillator. Two rings of 2 * bars + 1 values follow.
DIVERGENCE_HEAD: Final = 4


@kernel("boolean(float64[::1], int64, int64, float64)")
def is_swing(values: "FloatArray", index: int, bars: int, sign: float) -> bool:
    """Whether values[index] is a confirmed swing: a low with sign 1, a high with sign -1. See checked.swing_lows."""
    if index < bars or index + bars >= values.shape[0]:
        return False
    here = sign * values[index]
    for j in range(1, bars + 1):  # noqa: SIM110 - a generator does not compile
        # Strict to the left only: of a flat bottom exactly the first bar counts.
        if not (here < sign * values[index - j] and here <= sign * values[index + j]):
            return False
    return True


@kernel("void(float64, float64, float64, float64[::1])")
def fibonacci_pivots(high: float, low: float, close: float, out: "FloatArray") -> None:
    """P, R1, R2, R3, S1, S2, S3 of one finished day into out[0:7]; see checked.fibonacci_pivots."""
    pivot = (high + low + close) / 3.0
    span = high - low
    out[0] = pivot
    out[1] = pivot + 0.382 * span
    out[2] = pivot + 0.618 * span
    out[3] = pivot + span
    out[4] = pivot - 0.382 * span
    out[5] = pivot - 0.618 * span
    out[6] = pivot - span


@kernel("float64(float64[::1], float64, float64, int64, int64, float64)", inline=True)
def divergence_step(
    state: "FloatArray", price: float, oscillator: float, bars: int, distance_max: int, sign: float
) -> float:
    """One candle into `state` (divergence_state(bars)): the divergence that it confirms, else 0.

    The last swing stands in the state. It is the nearest one: of two within `bars` candles the later would have to be both
    below and not below the earlier.
    """
    length = 2 * bars + 1
    number = int(state[0])
    state[0] = number + 1.0
    ring = DIVERGENCE_HEAD
    state[ring + number % length] = price
    state[ring + length + number % length] = oscillator
    later = number - bars
    if later < bars:
        return 0.0
    slot = later % length
    here = sign * state[ring + slot]
    for j in range(1, bars + 1):
        # Strict to the left only, as in is_swing.
        before = sign * state[ring + (later - j) % length]
        after = sign * state[ring + (later + j) % length]
        if not (here < before and here <= after):
            return 0.0
    beyond = here - sign * state[2]
    strength = sign * (state[ring + length + slot] - state[3])
    near = state[1] > 0.0 and later - (state[1] - 1.0) <= distance_max
    state[1] = later + 1.0
    state[2] = state[ring + slot]
    state[3] = state[ring + length + slot]
    if near and beyond < 0.0 and strength > 0.0:
        return REGULAR
    if near and beyond > 0.0 and strength < 0.0:
        return HIDDEN
    return 0.0


@kernel("void(float64[::1], float64[::1], int64, int64, float64[::1], float64[::1])")
def bullish_divergence_advance(
    low: "FloatArray", oscillator: "FloatArray", bars: int, distance_max: int, state: "FloatArray", out: "FloatArray"
) -> None:
    """Divergences at the candles that follow those in `state` (divergence_state(bars)); see checked.bullish_divergence."""
    for i in range(low.shape[0]):
        out[i] = divergence_step(state, low[i], oscillator[i], bars, distance_max, 1.0)


@kernel("void(float64[::1], float64[::1], int64, int64, float64[::1])")
def bullish_divergence(
    low: "FloatArray", oscillator: "FloatArray", bars: int, distance_max: int, out: "FloatArray"
) -> None:
    """Divergence between swing lows; see checked.bullish_divergence."""
    state = np.zeros(DIVERGENCE_HEAD + 2 * (2 * bars + 1))
    bullish_divergence_advance(low, oscillator, bars, distance_max, state, out)


@kernel("void(float64[::1], float64[::1], int64, int64, float64[::1], float64[::1])")
def bearish_divergence_advance(
    high: "FloatArray", oscillator: "FloatArray", bars: int, distance_max: int, state: "FloatArray", out: "FloatArray"
) -> None:
    """Divergences at the candles that follow those in `state` (divergence_state(bars)); see checked.bearish_divergence."""
    for i in range(high.shape[0]):
        out[i] = divergence_step(state, high[i], oscillator[i], bars, distance_max, -1.0)


@kernel("void(float64[::1], float64[::1], int64, int64, float64[::1])")
def bearish_divergence(
    high: "FloatArray", oscillator: "FloatArray", bars: int, distance_max: int, out: "FloatArray"
) -> None:
    """Divergence between swing highs; see checked.bearish_divergence."""
    state = np.zeros(DIVERGENCE_HEAD + 2 * (2 * bars + 1))
    bearish_divergence_advance(high, oscillator, bars, distance_max, state, out)


def divergence_state(bars: int) -> int:
    """Length of the state of bullish_divergence_advance and bearish_divergence_advance."""
    return DIVERGENCE_HEAD + 2 * (2 * bars + 1)
