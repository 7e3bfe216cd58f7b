"""Where a signal ends on the finest candles of a source. The candle is found by columns; what happens on it, signal_life says."""

from typing import Final

import numpy as np
import numpy.typing as npt

from research.history import FloatArray, History
from shared.domain.bias import Direction
from shared.domain.signals import Signal, SignalExit
from shared.portfolio.signal_life import exit_on_candle

_LOOK: Final = 512  # candles per look; most signals end within one


def exit_after(signal: Signal, history: History) -> SignalExit | None:
    """Its end by level or age; None where it outlives the history. What the strategy itself ends is not known here."""
    index = history.base_index_at(signal.opened_at_ms)
    if signal.trail_pct is not None or signal.time_exit_ms is not None:
        ends = (exit_on_candle(signal, candle) for candle in history.candles[index:])
        return next((end for end in ends if end is not None), None)
    last = _expiry_index(signal, history)
    values = history.series[history.base].values
    if signal.stop_loss is None and signal.take_profit is None:
        index = last + 1  # nothing to reach: only its age can end it
    while index <= last:
        stop = min(index + _LOOK, last + 1)
        reached = np.flatnonzero(_reached(signal, values[1, index:stop], values[2, index:stop]))
        if len(reached):
            return exit_on_candle(signal, history.candles[index + int(reached[0])])
        index = stop
    return exit_on_candle(signal, history.candles[last]) if 0 <= last < len(history.candles) else None


def _expiry_index(signal: Signal, history: History) -> int:
    """Index of the candle on which its age runs out, at most the last one."""
    last = len(history.candles) - 1
    if signal.max_age_candles is None:
        return last
    expires_ms = signal.opened_at_ms + signal.max_age_candles * signal.timeframe.duration_ms
    step_ms = history.base.duration_ms
    return min(last, -(-(expires_ms - history.candles[0].open_time_ms) // step_ms) - 1)


def _reached(signal: Signal, high: FloatArray, low: FloatArray) -> npt.NDArray[np.bool_]:
    """Candles whose range reaches a level or lies beyond it."""
    long = signal.side is Direction.LONG
    found = np.zeros(len(high), dtype=np.bool_)
    if signal.stop_loss is not None:
        found |= low <= signal.stop_loss if long else high >= signal.stop_loss
    if signal.take_profit is not None:
        found |= high >= signal.take_profit if long else low <= signal.take_profit
    return found
