"""The figures `rsi_divergence` decides on, for all symbols in one call."""

from typing import TYPE_CHECKING, Final

from shared.indicators.compiled import kernel
from shared.indicators.kernels.averages import sma
from shared.indicators.kernels.levels import is_swing
from shared.indicators.kernels.momentum import wilder_rsi

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
FIGURES: Final = 11


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


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    " int64, int64, int64, int64, float64[:, ::1], float64[:, ::1], float64[:, ::1])"
)
def rsi_divergence_figures(
    high: "FloatArray",
    low: "FloatArray",
    close: "FloatArray",
    volume: "FloatArray",
    rsi_period: int,
    volume_window: int,
    swing_bars: int,
    swing_distance_max: int,
    rsi: "FloatArray",
    volume_mean: "FloatArray",
    out: "FloatArray",
) -> None:
    """Row by row: RSI, volume and its mean at the last candle, and the swing pairs of both sides.

    high..volume: shape (n, length). rsi, volume_mean: scratch of the same shape. out: shape (n, FIGURES).
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
