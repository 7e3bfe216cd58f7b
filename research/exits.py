"""Where a signal ends on the finest candles of a source. The candle is found by columns; what happens on it, signal_life says."""

from typing import Final

import numpy as np
import numpy.typing as npt

from research.history import FloatArray, History
from shared.domain.bias import Direction
from shared.domain.signals import Signal, SignalExit
from shared.portfolio.signal_life import exit_on_candle

_LOOK: Final = 512  # candles per look; most signals end within one
_GAIN_NEAR: Final = 1e-6  # percent: the columns may ask about a candle too many, never about one too few


def exit_after(signal: Signal, history: History) -> SignalExit | None:
    """Its end by level, trailing stop, time or age; None where it outlives the history.

    What the strategy itself ends is not known here.
    """
    index, last = history.base_index_at(signal.opened_at_ms), _expiry_index(signal, history)
    levels = (signal.stop_loss, signal.take_profit, signal.trail_pct, signal.time_exit_ms)
    if all(level is None for level in levels):
        index = max(index, last)  # nothing to reach: only its age can end it
    best = _none_yet(signal)
    while index <= last:
        stop = min(index + _LOOK, last + 1)
        bests = _bests(signal, history, index, stop, best)
        asked = _may_end(signal, history, index, stop, bests[:-1])
        asked[-1] |= stop == last + 1
        for place in np.flatnonzero(asked).tolist():
            before = float(bests[place])
            known = before if np.isfinite(before) else None
            end = exit_on_candle(signal, history.candles[index + place], best_price=known)
            if end is not None:
                return end
        index, best = stop, float(bests[-1])
    return None


def _expiry_index(signal: Signal, history: History) -> int:
    """Index of the candle on which its age runs out, at most the last one."""
    last = len(history.candles) - 1
    if signal.max_age_candles is None:
        return last
    expires_ms = signal.opened_at_ms + signal.max_age_candles * signal.timeframe.duration_ms
    step_ms = history.base.duration_ms
    return min(last, -(-(expires_ms - history.candles[0].open_time_ms) // step_ms) - 1)


def _none_yet(signal: Signal) -> float:
    return -np.inf if signal.side is Direction.LONG else np.inf


def _bests(signal: Signal, history: History, index: int, stop: int, best: float) -> FloatArray:
    """The best price before each candle, and behind the last one; where nothing trails, none."""
    if signal.trail_pct is None:
        return np.full(stop - index + 1, best)
    values = history.series[history.base].values
    if signal.side is Direction.LONG:
        return np.maximum.accumulate(np.concatenate([[best], values[1, index:stop]]))
    return np.minimum.accumulate(np.concatenate([[best], values[2, index:stop]]))


def _may_end(signal: Signal, history: History, index: int, stop: int, bests: FloatArray) -> npt.NDArray[np.bool_]:
    """Candles whose range reaches a level or lies beyond it, or on whose close the time exit may be due."""
    base = history.series[history.base]
    _, high, low, close = base.values[:4, index:stop]
    long = signal.side is Direction.LONG
    found = np.zeros(len(close), dtype=np.bool_)
    if signal.stop_loss is not None:
        found |= low <= signal.stop_loss if long else high >= signal.stop_loss
    if signal.trail_pct is not None:
        share = signal.trail_pct / 100
        found |= low <= bests * (1 - share) if long else high >= bests * (1 + share)
    if signal.take_profit is not None:
        found |= high >= signal.take_profit if long else low <= signal.take_profit
    if signal.time_exit_ms is not None:
        gain_pct = (1 if long else -1) * (close / signal.entry_price - 1) * 100
        due_ms = signal.opened_at_ms + signal.time_exit_ms - history.base.duration_ms
        due = base.open_time_ms[index:stop] >= due_ms
        found |= due & (gain_pct < signal.time_exit_below_pct + _GAIN_NEAR)
    return found
