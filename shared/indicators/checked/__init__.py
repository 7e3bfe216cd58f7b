"""The checked front of the kernels: arguments are tested here, once per call, because a kernel raises nothing.

Arguments are rows of one value per candle, oldest first. Wrong arguments raise InvalidValueError with rule, value and
place; too few candles give NaN throughout. Importing this package imports no Numba; the first call does.
"""

from shared.indicators.checked.averages import donchian, ema, rma, rolling_max, rolling_min, sma
from shared.indicators.checked.channels import keltner, realised_volatility
from shared.indicators.checked.levels import (
    Pivots,
    bearish_divergence,
    bullish_divergence,
    fibonacci_pivots,
    swing_highs,
    swing_lows,
)
from shared.indicators.checked.momentum import macd, ppo, wilder_rsi
from shared.indicators.checked.oscillators import Fisher, Stochastic, fisher, mmh, stochastic
from shared.indicators.checked.smoothing import Cloud, cirrus_cloud, kalman, range_filter, smooth_rsi
from shared.indicators.checked.trend import adx, supertrend
from shared.indicators.checked.values import Bands, BoolArray, Directional, FloatArray, IntArray, Lines, Trend, series
from shared.indicators.checked.volatility import atr, bollinger, true_range
from shared.indicators.checked.volume import obv, volume_zscore, vwap_daily

__all__ = [
    "Bands",
    "BoolArray",
    "Cloud",
    "Directional",
    "Fisher",
    "FloatArray",
    "IntArray",
    "Lines",
    "Pivots",
    "Stochastic",
    "Trend",
    "adx",
    "atr",
    "bearish_divergence",
    "bollinger",
    "bullish_divergence",
    "cirrus_cloud",
    "donchian",
    "ema",
    "fibonacci_pivots",
    "fisher",
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
    "series",
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
