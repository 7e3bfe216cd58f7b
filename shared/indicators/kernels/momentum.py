"""Momentum: Wilder's RSI, MACD in its three seedings, PPO."""

from typing import TYPE_CHECKING, Final

import numpy as np

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import SEED_AVERAGE, SEED_FIRST, smooth_step

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# How MACD's averages start. TA-Lib: both on the same candle, with means. Classic: each with the mean of its own first
# values. First: each with the first close, as spreadsheets and Tulip do.
MACD_TALIB: Final = 0
MACD_CLASSIC: Final = 1
MACD_FIRST: Final = 2

RSI_STATE: Final = 4  # closes seen, last close, average gain and average loss (sums while seeding)
MACD_STATE: Final = 7  # closes seen; fast, slow and signal averages
PPO_STATE: Final = 6  # fast, slow and signal averages


@kernel("float64(float64[::1], int64, float64, int64)", inline=True)
def rsi_step(state: "FloatArray", at: int, close: float, period: int) -> float:
    """One close into the RSI in state[at:at + RSI_STATE]; NaN for the first `period` closes."""
    seen = state[at]
    change = close - state[at + 1]
    state[at] = seen + 1.0
    state[at + 1] = close
    if seen == 0.0:
        return float("nan")
    up = change if change > 0.0 else 0.0  # noqa: FURB136 - max() treats NaN differently
    down = -change if change < 0.0 else 0.0
    if change != change:  # noqa: PLR0124 - NaN: poison the averages, as arithmetic on them would
        up = change
        down = change
    gain: float = state[at + 2]
    loss: float = state[at + 3]
    if seen <= period:
        gain += up
        loss += down
        if seen == period:
            gain /= period
            loss /= period
    else:
        gain = (gain * (period - 1) + up) / period
        loss = (loss * (period - 1) + down) / period
    state[at + 2] = gain
    state[at + 3] = loss
    if seen < period:
        return float("nan")
    if loss == 0.0:
        return 50.0 if gain == 0.0 else 100.0
    return 100.0 - 100.0 / (1.0 + gain / loss)


@kernel("void(float64[::1], int64, float64[::1], float64[::1])")
def wilder_rsi_advance(close: "FloatArray", period: int, state: "FloatArray", out: "FloatArray") -> None:
    """Wilder's RSI of the closes that follow those in `state` (RSI_STATE); see checked.wilder_rsi."""
    for i in range(close.shape[0]):
        out[i] = rsi_step(state, 0, close[i], period)


@kernel("void(float64[::1], int64, float64[::1])")
def wilder_rsi(close: "FloatArray", period: int, out: "FloatArray") -> None:
    """Wilder's RSI of every close into `out`, NaN for the first `period` ones. See checked.wilder_rsi."""
    wilder_rsi_advance(close, period, np.zeros(RSI_STATE), out)


@kernel(
    "void(float64[::1], int64, int64, int64, int64, float64[::1], float64[::1], float64[::1], float64[::1])",
)
def macd_advance(
    close: "FloatArray",
    fast: int,
    slow: int,
    signal: int,
    seeding: int,
    state: "FloatArray",
    line: "FloatArray",
    signal_line: "FloatArray",
    histogram: "FloatArray",
) -> None:
    """MACD of the closes that follow those in `state` (MACD_STATE); see checked.macd."""
    alpha_fast = 2.0 / (fast + 1.0)
    alpha_slow = 2.0 / (slow + 1.0)
    alpha_signal = 2.0 / (signal + 1.0)
    seed = SEED_FIRST if seeding == MACD_FIRST else SEED_AVERAGE
    nan = float("nan")
    for i in range(close.shape[0]):
        seen = state[0]
        state[0] = seen + 1.0
        late = seeding == MACD_TALIB and seen < slow - fast
        quick = nan if late else smooth_step(state, 1, close[i], fast, alpha_fast, seed)
        steady = smooth_step(state, 3, close[i], slow, alpha_slow, seed)
        difference = quick - steady if seen + 1.0 >= slow else nan
        smooth = smooth_step(state, 5, difference, signal, alpha_signal, seed)
        known = seeding != MACD_TALIB or smooth == smooth  # noqa: PLR0124 - TA-Lib starts all three at once
        line[i] = difference if known else nan
        signal_line[i] = smooth
        histogram[i] = difference - smooth


@kernel("void(float64[::1], int64, int64, int64, int64, float64[::1], float64[::1], float64[::1])")
def macd(
    close: "FloatArray",
    fast: int,
    slow: int,
    signal: int,
    seeding: int,
    line: "FloatArray",
    signal_line: "FloatArray",
    histogram: "FloatArray",
) -> None:
    """MACD line, its signal and their difference; see checked.macd."""
    macd_advance(close, fast, slow, signal, seeding, np.zeros(MACD_STATE), line, signal_line, histogram)


@kernel("void(float64[::1], int64, int64, int64, float64[::1], float64[::1], float64[::1], float64[::1])")
def ppo_advance(
    close: "FloatArray",
    fast: int,
    slow: int,
    signal: int,
    state: "FloatArray",
    line: "FloatArray",
    signal_line: "FloatArray",
    histogram: "FloatArray",
) -> None:
    """PPO of the closes that follow those in `state` (PPO_STATE); see checked.ppo."""
    alpha_fast = 2.0 / (fast + 1.0)
    alpha_slow = 2.0 / (slow + 1.0)
    alpha_signal = 2.0 / (signal + 1.0)
    for i in range(close.shape[0]):
        quick = smooth_step(state, 0, close[i], fast, alpha_fast, SEED_FIRST)
        steady = smooth_step(state, 2, close[i], slow, alpha_slow, SEED_FIRST)
        line[i] = 100.0 * (quick - steady) / steady
        signal_line[i] = smooth_step(state, 4, line[i], signal, alpha_signal, SEED_FIRST)
        histogram[i] = line[i] - signal_line[i]


@kernel("void(float64[::1], int64, int64, int64, float64[::1], float64[::1], float64[::1])")
def ppo(
    close: "FloatArray",
    fast: int,
    slow: int,
    signal: int,
    line: "FloatArray",
    signal_line: "FloatArray",
    histogram: "FloatArray",
) -> None:
    """Percentage price oscillator, its signal and their difference; see checked.ppo."""
    ppo_advance(close, fast, slow, signal, np.zeros(PPO_STATE), line, signal_line, histogram)
