"""ADX and Supertrend, checked."""

from typing import Final

from shared.indicators.checked.values import (
    Directional,
    FloatArray,
    Trend,
    check_factor,
    check_window,
    choice,
    empty,
    together,
)

ADX_SEEDINGS: Final = {"talib": 0, "classic": 1}


def adx(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14, seeding: str = "talib") -> Directional:
    """Wilder's directional indicators and their average.

    seeding: how the sums of range and movement start. `classic`: the first `period` of them are summed. `talib`: the first
             period - 1 are, and the next enters as every later one: sum - sum / period + new.
    Returns: +DI and -DI from index `period` on, ADX (mean of the first `period` DX, then Wilder's average) from index
             2 * period - 1 on; NaN before. Without any range both indicators are 0; without any movement the ADX stays.
    """
    from shared.indicators.kernels import trend

    highs, lows, closes = together(high=high, low=low, close=close)
    check_window(period, "period", "adx")
    plus_di, minus_di, out = empty(closes, 3)
    trend.adx(highs, lows, closes, period, choice(seeding, ADX_SEEDINGS, "seeding", "adx"), plus_di, minus_di, out)
    return Directional(plus_di, minus_di, out)


def supertrend(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int = 10, multiplier: float = 3.0
) -> Trend:
    """The band of (high + low) / 2 -+ multiplier * ATR (Wilder) on the far side of the trend, and the trend.

    A band moves only towards the price, unless the last close lay beyond it. The trend turns where a close touches its band;
    it starts up where the close is at or above the middle.
    Returns: line, quote currency, and direction 1 or -1; NaN for the first `period` candles.
    """
    from shared.indicators.kernels import trend

    highs, lows, closes = together(high=high, low=low, close=close)
    check_window(period, "period", "supertrend")
    check_factor(multiplier, "multiplier", "supertrend")
    line, direction = empty(closes, 2)
    trend.supertrend(highs, lows, closes, period, float(multiplier), line, direction)
    return Trend(line, direction)
