"""The checked front of the kernels: arguments are tested here, once per call, because a kernel raises nothing.

Arguments are rows of one value per candle, oldest first. Wrong arguments raise InvalidValueError with rule, value and
place; too few candles give NaN throughout. Importing this package imports no Numba; the first call does.
"""

from shared.indicators.checked.averages import donchian, ema, rma, rolling_max, rolling_min, sma
from shared.indicators.checked.levels import swing_highs, swing_lows
from shared.indicators.checked.momentum import macd, ppo, wilder_rsi
from shared.indicators.checked.trend import adx, supertrend
from shared.indicators.checked.values import Bands, BoolArray, Directional, FloatArray, Lines, Trend, series
from shared.indicators.checked.volatility import atr, bollinger, true_range
from shared.indicators.checked.volume import volume_zscore, vwap_daily

__all__ = [
    "Bands",
    "BoolArray",
    "Directional",
    "FloatArray",
    "Lines",
    "Trend",
    "adx",
    "atr",
    "bollinger",
    "donchian",
    "ema",
    "macd",
    "ppo",
    "rma",
    "rolling_max",
    "rolling_min",
    "series",
    "sma",
    "supertrend",
    "swing_highs",
    "swing_lows",
    "true_range",
    "volume_zscore",
    "vwap_daily",
    "wilder_rsi",
]
