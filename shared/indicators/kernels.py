"""Indicator kernels: arithmetic on float64 arrays, nothing checked (see `checked`), nothing raised.

Each has a twin of the same name in `plain`. The order of the operations is part of the definition: twins agree to the bit.
"""

from typing import TYPE_CHECKING

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


@kernel("void(float64[::1], int64, float64[::1])")
def wilder_rsi(close: "FloatArray", period: int, out: "FloatArray") -> None:
    """Wilder's RSI of every close into `out`, NaN for the first `period` ones. See checked.wilder_rsi."""
    count = close.shape[0]
    gain = 0.0
    loss = 0.0
    for i in range(count):
        if i == 0:
            out[0] = float("nan")
            continue
        change = close[i] - close[i - 1]
        up = change if change > 0.0 else 0.0  # noqa: FURB136 - max() treats NaN differently
        down = -change if change < 0.0 else 0.0
        if change != change:  # noqa: PLR0124 - NaN: poison the averages, as arithmetic on them would
            up = change
            down = change
        if i <= period:
            gain += up
            loss += down
            if i < period:
                out[i] = float("nan")
                continue
            gain /= period
            loss /= period
        else:
            gain = (gain * (period - 1) + up) / period
            loss = (loss * (period - 1) + down) / period
        if loss == 0.0:
            out[i] = 50.0 if gain == 0.0 else 100.0
        else:
            out[i] = 100.0 - 100.0 / (1.0 + gain / loss)


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
