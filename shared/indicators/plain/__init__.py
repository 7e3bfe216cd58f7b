"""The indicators that a chart shows, in plain NumPy without Numba: names, arguments, errors and values are those of `checked`.

For services that draw or check a few hundred values and must stay small. RSI, SMA and the averages are equal to `checked` to
the bit, all others within rounding.
"""

from shared.indicators.plain.averages import donchian, ema, rma, rolling_max, rolling_min, sma
from shared.indicators.plain.levels import fibonacci_pivots, swing_highs, swing_lows
from shared.indicators.plain.momentum import macd, mmh, ppo, stochastic, wilder_rsi
from shared.indicators.plain.ranges import adx, atr, bollinger, keltner, realised_volatility, supertrend, true_range
from shared.indicators.plain.smoothing import cirrus_cloud, kalman, range_filter, smooth_rsi
from shared.indicators.plain.volume import obv, volume_zscore, vwap_daily

__all__ = [
    "adx",
    "atr",
    "bollinger",
    "cirrus_cloud",
    "donchian",
    "ema",
    "fibonacci_pivots",
    "kalman",
    "keltner",
    "macd",
    "mmh",
    "obv",
    "ppo",
    "range_filter",
    "realised_volatility",
    "rma",
    "rolling_max",
    "rolling_min",
    "sma",
    "smooth_rsi",
    "stochastic",
    "supertrend",
    "swing_highs",
    "swing_lows",
    "true_range",
    "volume_zscore",
    "vwap_daily",
    "wilder_rsi",
]
