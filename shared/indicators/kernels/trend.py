"""Trend: ADX with +DI and -DI in two seedings, Supertrend."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.volatility import ATR_WILDER, RANGE_STATE, atr_step, range_step

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# How Wilder's sums of range and movement start. Classic: with the first `period` of them. TA-Lib: with the first
# period - 1, and the next one enters as all later ones do.
ADX_TALIB: Final = 0
ADX_CLASSIC: Final = 1

# Last candle's range state, high and low; candles seen; sums of range, +DM and -DM; DX seen; ADX (their sum while seeding).
ADX_STATE: Final = RANGE_STATE + 8
_SUPERTREND_ATR: Final = 5
SUPERTREND_STATE: Final = _SUPERTREND_ATR + RANGE_STATE + 2  # candles with bands, bands, direction, last close; ATR


@kernel("void(float64[::1], int64, float64, float64, float64, int64, int64)", inline=True)
def movement_step(
    state: "FloatArray", at: int, high: float, low: float, close: float, period: int, seeding: int
) -> None:
    """One candle into Wilder's sums of true range, +DM and -DM in state[at:at + ADX_STATE]."""
    before_high = state[at + 2]
    before_low = state[at + 3]
    seen = state[at + 4]
    span = range_step(state, at, high, low, close, False)
    state[at + 2] = high
    state[at + 3] = low
    state[at + 4] = seen + 1.0
    if seen == 0.0:
        return
    up = high - before_high
    down = before_low - low
    plus = up if up > down and up > 0.0 else 0.0
    minus = down if down > up and down > 0.0 else 0.0
    kept = 1.0
    if seen > period or (seeding == ADX_TALIB and seen == period):
        kept = (period - 1.0) / period
    state[at + 5] = state[at + 5] * kept + span
    state[at + 6] = state[at + 6] * kept + plus
    state[at + 7] = state[at + 7] * kept + minus


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64, int64, float64[::1],"
    " float64[::1], float64[::1], float64[::1])"
)
def adx_advance(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    seeding: int,
    state: "FloatArray",
    plus_di: "FloatArray",
    minus_di: "FloatArray",
    out: "FloatArray",
) -> None:
    """+DI, -DI and ADX of the candles that follow those in `state` (ADX_STATE); see checked.adx."""
    for i in range(high.shape[0]):
        movement_step(state, 0, high[i], low[i], close[i], period, seeding)
        plus_di[i] = minus_di[i] = out[i] = float("nan")
        if state[4] <= period:
            continue
        span = state[5]
        plus_di[i] = 0.0 if span == 0.0 else 100.0 * state[6] / span
        minus_di[i] = 0.0 if span == 0.0 else 100.0 * state[7] / span
        both = plus_di[i] + minus_di[i]
        state[8] += 1.0
        if state[8] <= period:
            state[9] += 0.0 if both == 0.0 else 100.0 * abs(plus_di[i] - minus_di[i]) / both
            if state[8] == period:
                state[9] /= period
        elif both != 0.0:  # without any movement the ADX stays what it was
            state[9] = (state[9] * (period - 1) + 100.0 * abs(plus_di[i] - minus_di[i]) / both) / period
        if state[8] >= period:
            out[i] = state[9]


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64, int64, float64[::1], float64[::1], float64[::1])",
)
def adx(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    seeding: int,
    plus_di: "FloatArray",
    minus_di: "FloatArray",
    out: "FloatArray",
) -> None:
    """Directional indicators and average directional index; see checked.adx."""
    adx_advance(high, low, close, period, seeding, np.zeros(ADX_STATE), plus_di, minus_di, out)


@kernel(
    "void(float64[::1], float64[::1], float64[::1], int64, float64, float64[::1], float64[::1], float64[::1])",
)
def supertrend_advance(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    multiplier: float,
    state: "FloatArray",
    line: "FloatArray",
    direction: "FloatArray",
) -> None:
    """Supertrend of the candles that follow those in `state` (SUPERTREND_STATE); see checked.supertrend."""
    for i in range(high.shape[0]):
        average = atr_step(state, _SUPERTREND_ATR, high[i], low[i], close[i], period, ATR_WILDER)
        before = state[4]
        state[4] = close[i]
        if state[0] == 0.0 and average != average:  # noqa: PLR0124 - NaN: still warming up
            line[i] = direction[i] = average
            continue
        middle = (high[i] + low[i]) / 2.0
        upper = middle + multiplier * average
        lower = middle - multiplier * average
        if state[0] == 0.0:
            state[0] = 1.0
            state[1] = upper
            state[2] = lower
            state[3] = 1.0 if close[i] >= middle else -1.0
        # A band moves only towards the price, unless the last close lay beyond it; a NaN ends both for good.
        if upper < state[1] or before > state[1] or upper != upper:  # noqa: PLR0124 - only NaN differs from itself
            state[1] = upper
        if lower > state[2] or before < state[2] or lower != lower:  # noqa: PLR0124 - only NaN differs from itself
            state[2] = lower
        crossed = close[i] <= (state[2] if state[3] > 0.0 else state[1])
        state[3] = -1.0 if crossed else 1.0
        line[i] = state[1] if crossed else state[2]
        direction[i] = state[3] if line[i] == line[i] else float("nan")


@kernel("void(float64[::1], float64[::1], float64[::1], int64, float64, float64[::1], float64[::1])")
def supertrend(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    period: int,
    multiplier: float,
    line: "FloatArray",
    direction: "FloatArray",
) -> None:
    """The stop line that follows the trend, and the trend: 1 up, -1 down; see checked.supertrend."""
    supertrend_advance(high, low, close, period, multiplier, np.zeros(SUPERTREND_STATE), line, direction)
