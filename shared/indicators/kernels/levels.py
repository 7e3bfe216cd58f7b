"""Price levels: swing points, divergences between them, Fibonacci pivots."""

from typing import TYPE_CHECKING, Final

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# What a pair of swings says: the price goes further and the oscillator does not, or the other way round.
REGULAR: Final = 1.0
HIDDEN: Final = 2.0


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


@kernel("void(float64[::1], float64[::1], int64, int64, float64, float64[::1])")
def divergence(
    price: "FloatArray", oscillator: "FloatArray", bars: int, distance_max: int, sign: float, out: "FloatArray"
) -> None:
    """Divergence confirmed at each candle between swing lows (sign 1) or highs (sign -1); see checked.divergence."""
    for i in range(price.shape[0]):
        out[i] = 0.0
        later = i - bars
        # Swings are looked for in what is known at candle i only.
        if not is_swing(price[: i + 1], later, bars, sign):
            continue
        for earlier in range(later - 1, max(bars, later - distance_max) - 1, -1):
            if is_swing(price[: i + 1], earlier, bars, sign):
                beyond = sign * (price[later] - price[earlier])
                strength = sign * (oscillator[later] - oscillator[earlier])
                if beyond < 0.0 and strength > 0.0:
                    out[i] = REGULAR
                elif beyond > 0.0 and strength < 0.0:
                    out[i] = HIDDEN
                break
