"""The tests of a strategy on many windows of one history: by its own kernel, on as little of each window as that reads.

`macd_adx` reads all 360 candles of each; kernels that go through the windows of a block side by side do the same sums for it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from research.fast import windows
from research.history import FloatArray, History, IntArray
from shared.strategies.base import Tested
from shared.strategies.macd_adx import MacdAdx
from shared.strategies.verdicts import Figures, TestedStrategy

# How many candles at a window's end a kernel reads, where that is not all of them.
_READS: Final[Mapping[str, Callable[[Any], int]]] = {
    "bollinger": lambda own: int(own.window),
    "donchian": lambda own: int(own.window) + 1,
}


def figures_at(strategy: TestedStrategy, history: History, closes_ms: IntArray) -> Figures | None:
    """Figures of the windows that end at these consecutive closes; None where a number in them is not finite."""
    needs = strategy.needs
    if isinstance(strategy, MacdAdx):
        return _macd_adx(strategy, history, closes_ms)
    if strategy.NAME in _READS:
        needs = (msgspec.structs.replace(needs[0], length=_READS[strategy.NAME](strategy.own)),)
    if not all(need.optional or _finite(history, need.timeframe) for need in needs):
        return None
    return strategy.figures(history.columns(needs, closes_ms))


def tested_at(strategy: Any, history: History, closes_ms: IntArray) -> Tested | None:
    """The tests there as columns; None for a strategy that has no such form, or where a number is not finite."""
    if not isinstance(strategy, TestedStrategy):
        return None
    found = figures_at(strategy, history, closes_ms)
    return None if found is None else strategy.tested_figures(found)


def _macd_adx(strategy: MacdAdx, history: History, closes_ms: IntArray) -> Figures | None:
    own, [need] = strategy.own, strategy.needs
    series = history.series[need.timeframe]
    end = int(series.held_at(closes_ms[-1:])[0])
    part = np.ascontiguousarray(series.values[1:4, end - len(closes_ms) - need.length + 1 : end])
    if not np.isfinite(part).all():
        return None
    high, low, close = part
    out = np.empty((len(closes_ms), 5))
    histogram, strength = np.empty((len(out), 2)), np.empty(len(out))
    moved, apart = np.empty((3, len(close))), np.empty((2, len(close) - own.volatility_candles))
    windows.macd_of_windows(close, need.length, own.fast, own.slow, own.signal, histogram)
    windows.movements(high, low, close, moved)
    windows.adx_of_windows(moved, need.length, own.adx_period, strength)
    windows.return_deviations(close, own.volatility_candles, apart[0], apart[1])
    out[:, :2], out[:, 2], out[:, 3:] = histogram, strength, apart[:, -len(out) :].T
    return strategy.judged_figures(out)


def _finite(history: History, timeframe: Any) -> bool:
    values: FloatArray = history.series[timeframe].values
    return bool(np.isfinite(values.sum()))
