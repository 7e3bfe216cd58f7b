"""RSI, MACD and PPO, checked."""

from typing import Final

import numpy as np

from shared.domain.checks import require
from shared.indicators.checked.values import FloatArray, Lines, check_window, choice, empty, series

MACD_SEEDINGS: Final = {"talib": 0, "classic": 1, "first": 2}


def wilder_rsi(close: FloatArray, period: int) -> FloatArray:
    """Wilder's relative strength index.

    close:   shape (n,), quote currency, oldest first; a NaN makes every later value NaN.
    period:  candles of the average, >= 1.
    Returns: shape (n,), 0..100; NaN for the first `period` values. First averages: mean of the first `period` gains and
             losses; then (average * (period - 1) + new) / period. 100 where no loss is in the average, 50 where neither.
    """
    from shared.indicators.kernels import momentum

    values = series(close, "close")
    check_window(period, "period", "wilder_rsi")
    out = np.empty_like(values)
    momentum.wilder_rsi(values, period, out)
    return out


def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal: int = 9, seeding: str = "talib") -> Lines:
    """Moving average convergence divergence: EMA(fast) - EMA(slow), the EMA of that, and their difference.

    seeding: `talib`: both averages start with means on the candle of index slow - 1, all outputs on slow + signal - 2.
             `classic`: each average starts with the mean of its own first values; the line is known from slow - 1 on.
             `first`: each starts with the first close; the signal with the first known line, that of index slow - 1.
    Returns: line, signal, histogram, shape (n,); NaN while warming up; a NaN close makes all that follow NaN.
    """
    from shared.indicators.kernels import momentum

    values = series(close, "close")
    check_speeds(fast, slow, signal, "macd")
    line, signal_line, histogram = empty(values, 3)
    chosen = choice(seeding, MACD_SEEDINGS, "seeding", "macd")
    momentum.macd(values, fast, slow, signal, chosen, line, signal_line, histogram)
    return Lines(line, signal_line, histogram)


def ppo(close: FloatArray, fast: int = 7, slow: int = 16, signal: int = 5) -> Lines:
    """Percentage price oscillator: 100 * (EMA(fast) - EMA(slow)) / EMA(slow), the EMA of that, and their difference.

    Every average starts with its first value, so that the first candle has 0; a NaN close makes all that follow NaN.
    """
    from shared.indicators.kernels import momentum

    values = series(close, "close")
    check_speeds(fast, slow, signal, "ppo")
    line, signal_line, histogram = empty(values, 3)
    momentum.ppo(values, fast, slow, signal, line, signal_line, histogram)
    return Lines(line, signal_line, histogram)


def check_speeds(fast: int, slow: int, signal: int, indicator: str) -> None:
    """The periods of two averages and a signal: whole numbers >= 1, the fast one below the slow one."""
    for name, value in (("fast", fast), ("slow", slow), ("signal", signal)):
        check_window(value, name, indicator)
    require(fast < slow, f"fast must be < slow ({slow})", fast, indicator)
