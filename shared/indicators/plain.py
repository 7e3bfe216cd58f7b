"""The indicators in plain NumPy, without Numba: same names, same arguments, same bits as `checked`.

For services that draw or check a few hundred values and must stay small. Arguments are described in `checked`.
"""

import numpy as np

from shared.domain.checks import require
from shared.indicators.checked import BoolArray, FloatArray, series


def wilder_rsi(close: FloatArray, period: int) -> FloatArray:
    """Wilder's RSI; see checked.wilder_rsi."""
    values = series(close, "close")
    require(period >= 1, "period must be >= 1", period, "wilder_rsi")
    out = np.full(len(values), np.nan)
    if len(values) <= period:
        return out
    change = np.diff(values)
    gains = np.where(change < 0, 0.0, change).tolist()
    losses = np.where(change > 0, 0.0, -change).tolist()
    gain, loss = sum(gains[:period]) / period, sum(losses[:period]) / period
    out[period] = _strength(gain, loss)
    for i in range(period, len(gains)):
        gain = (gain * (period - 1) + gains[i]) / period
        loss = (loss * (period - 1) + losses[i]) / period
        out[i + 1] = _strength(gain, loss)
    return out


def _strength(gain: float, loss: float) -> float:
    if loss == 0:
        return 50.0 if gain == 0 else 100.0
    return 100.0 - 100.0 / (1.0 + gain / loss)


def sma(values: FloatArray, window: int) -> FloatArray:
    """Simple moving average; see checked.sma."""
    checked = series(values, "values")
    require(window >= 1, "window must be >= 1", window, "sma")
    out = np.full(len(checked), np.nan)
    if len(checked) < window:
        return out
    # Added one after the other, as the kernel does: np.sum adds pairwise and rounds differently.
    total = np.zeros(len(checked) - window + 1)
    for offset in range(window):
        total += checked[offset : offset + len(total)]
    out[window - 1 :] = total / window
    return out


def swing_lows(low: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing lows; see checked.swing_lows."""
    values = series(low, "low")
    require(bars >= 1, "bars must be >= 1", bars, "swing points")
    found = np.zeros(len(values), dtype=np.bool_)
    if len(values) > 2 * bars:
        middle = values[bars:-bars]
        inside = np.ones(len(middle), dtype=np.bool_)
        for shift in range(1, bars + 1):
            inside &= middle < values[bars - shift : len(values) - bars - shift]
            inside &= middle <= values[bars + shift : len(values) - bars + shift]
        found[bars:-bars] = inside
    return found


def swing_highs(high: FloatArray, bars: int) -> BoolArray:
    """Confirmed swing highs; see checked.swing_highs."""
    return swing_lows(-series(high, "high"), bars)
