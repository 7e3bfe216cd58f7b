"""The figures `rsi_divergence` decides on, for all symbols in one call."""

from typing import TYPE_CHECKING, Final

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import SEED_AVERAGE, ema, sma
from shared.indicators.kernels.levels import is_swing
from shared.indicators.kernels.momentum import wilder_rsi
from shared.indicators.kernels.volatility import ATR_WILDER, atr

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# Columns of the result.
RSI: Final = 0
VOLUME: Final = 1
VOLUME_MEAN: Final = 2
# Per side: price and RSI of the earlier and of the later swing; NaN where no pair was confirmed at this candle.
BULLISH: Final = 3
BEARISH: Final = 7
# For the checks of exhaustion and levels: RSI(7), EMA(20) of volume, ATR(14) in quote currency; then whether both last
# candles have a long lower wick at nearly the same low, and mirrored (1 or 0).
RSI_SHORT: Final = 11
VOLUME_EMA: Final = 12
ATR: Final = 13
DOUBLE_WICK_LOW: Final = 14
DOUBLE_WICK_HIGH: Final = 15
_SHORT_PERIOD: Final = 7
_VOLUME_EMA: Final = 20
_ATR_PERIOD: Final = 14
_WICK_SHARE: Final = 0.6
_WICK_APART: Final = 0.001


@kernel("void(float64[::1], float64[::1], int64, int64, float64, float64[::1])")
def swing_pair(
    price: "FloatArray", rsi: "FloatArray", bars: int, distance_max: int, sign: float, out: "FloatArray"
) -> None:
    """The swing confirmed by the last candle and the nearest one before it: price, RSI, price, RSI into out[0:4]."""
    out[:] = float("nan")
    later = price.shape[0] - 1 - bars
    if not is_swing(price, later, bars, sign):
        return
    for earlier in range(later - 1, max(bars, later - distance_max) - 1, -1):
        if is_swing(price, earlier, bars, sign):
            out[0] = price[earlier]
            out[1] = rsi[earlier]
            out[2] = price[later]
            out[3] = rsi[later]
            return


@kernel("float64(float64[::1], float64[::1], float64[::1], float64[::1], float64)")
def double_wick(
    open_price: "FloatArray", high: "FloatArray", low: "FloatArray", close: "FloatArray", sign: float
) -> float:
    """1 where both last candles have a wick of more than 60 % of their range, ends within 0.1 %; sign 1: lower wicks."""
    last = close.shape[0] - 1
    for i in range(last - 1, last + 1):
        span = high[i] - low[i]
        wick = min(open_price[i], close[i]) - low[i] if sign > 0.0 else high[i] - max(open_price[i], close[i])
        if not wick > _WICK_SHARE * span:
            return 0.0
    ends = low if sign > 0.0 else high
    return 1.0 if abs(ends[last] / ends[last - 1] - 1.0) <= _WICK_APART else 0.0


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " int64, int64, int64, int64, boolean, float64[:, ::1], float64[:, ::1], float64[:, ::1])"
)
def rsi_divergence_figures(
    open_price: "FloatArray",
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    volume: "FloatArray",
    rsi_period: int,
    volume_window: int,
    swing_bars: int,
    swing_distance_max: int,
    more: bool,  # noqa: FBT001 - kernels take places
    rsi: "FloatArray",
    volume_mean: "FloatArray",
    out: "FloatArray",
) -> None:
    """Row by row: RSI, volume and its mean at the last candle, the swing pairs of both sides, and what exhaustion asks for.

    open_price..volume: shape (n, length). rsi, volume_mean: scratch of the same shape. out: shape (n, FIGURES).
    more: also what exhaustion, levels and trailing ask for, from RSI_SHORT on; else NaN stands there.
    """
    last = close.shape[1] - 1
    for row in range(close.shape[0]):
        wilder_rsi(close[row], rsi_period, rsi[row])
        # Only the last mean is read: the others would cost as much as all the rest.
        tail = volume[row, last + 1 - volume_window :]
        sma(tail, volume_window, volume_mean[row, :volume_window])
        out[row, RSI] = rsi[row, last]
        out[row, VOLUME] = volume[row, last]
        out[row, VOLUME_MEAN] = volume_mean[row, volume_window - 1]
        swing_pair(low[row], rsi[row], swing_bars, swing_distance_max, 1.0, out[row, BULLISH : BULLISH + 4])
        swing_pair(high[row], rsi[row], swing_bars, swing_distance_max, -1.0, out[row, BEARISH : BEARISH + 4])
        out[row, RSI_SHORT:] = float("nan")
        if not more:
            continue
        wilder_rsi(close[row], _SHORT_PERIOD, volume_mean[row])
        out[row, RSI_SHORT] = volume_mean[row, last]
        ema(volume[row], _VOLUME_EMA, SEED_AVERAGE, volume_mean[row])
        out[row, VOLUME_EMA] = volume_mean[row, last]
        atr(high[row], low[row], close[row], _ATR_PERIOD, ATR_WILDER, volume_mean[row])
        out[row, ATR] = volume_mean[row, last]
        out[row, DOUBLE_WICK_LOW] = double_wick(open_price[row], high[row], low[row], close[row], 1.0)
        out[row, DOUBLE_WICK_HIGH] = double_wick(open_price[row], high[row], low[row], close[row], -1.0)
