"""Refuses a strategy that looks ahead, or that remembers: run when a strategy is loaded, before it decides anything.

Over one synthetic history, windows are judged three ways. All at once; one by one, in another order, each alone, as a stream
would bring them; and inside a buffer whose candles after the window are other ones (a view that a kernel could read past). A
causal strategy is a pure function of its windows: the three give the same outcomes, and leave the windows as they were.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.strategies.base import Outcome, Strategy, WindowColumns, picked_rows

_ROWS: Final = 8
_FUTURE: Final = 40
_FUTURES: Final = (5.0, 0.2)  # a future far above, and one far below: some comparison must come out otherwise
_SEED: Final = 20_261_120
_START_MS: Final = 1_699_833_600_000  # a Monday, 00:00 UTC
_NAMES: Final = ("open", "high", "low", "close", "volume")

_History = dict[Timeframe, dict[str, np.ndarray]]


def check_causal(strategy: Strategy) -> None:
    """Raises InvalidValueError where a decision depends on anything but its window; costs some milliseconds."""
    longest = max(need.length for need in strategy.needs) + _ROWS + _FUTURE
    history = _history(strategy, longest)
    together = list(strategy.evaluate(_windows(strategy, history)))
    for scale in _FUTURES:
        other_future = _history(strategy, longest, future_scale=scale)
        _compare(strategy, together, list(strategy.evaluate(_windows(strategy, other_future))), "candles after it")
    windows = _windows(strategy, history)
    before = {timeframe: columns.close.copy() for timeframe, columns in windows.items()}
    alone: dict[int, Outcome] = {}
    for row in reversed(range(_ROWS)):
        [alone[row]] = strategy.evaluate({t: picked_rows(columns, [row]) for t, columns in windows.items()})
    _compare(strategy, together, [alone[row] for row in range(_ROWS)], "other windows or earlier calls")
    again = list(strategy.evaluate(windows))
    _compare(strategy, together, again, "earlier calls")
    for timeframe, columns in windows.items():
        if not np.array_equal(columns.close, before[timeframe]):
            raise InvalidValueError(
                f"a strategy may not change its windows, was {timeframe} (strategy {strategy.name})"
            )


def _compare(strategy: Strategy, one: list[Outcome], other: list[Outcome], what: str) -> None:
    for row, (first, second) in enumerate(zip(one, other, strict=True)):
        if first != second:
            rule = f"a strategy is non-causal: its decision depends on {what}"
            seen = f"{first.action} {first.trigger!r} and {second.action} {second.trigger!r}"
            raise InvalidValueError(f"{rule}, was {seen} (strategy {strategy.name}, window {row})")


def _history(strategy: Strategy, count: int, *, future_scale: float = 1.0) -> _History:
    """One random walk per timeframe, the same at every call; prices after the last window times `future_scale`."""
    history = {}
    for place, need in enumerate(strategy.needs):
        walk = _walk(count, np.random.default_rng(_SEED + place))
        for name in _NAMES:
            walk[name][-_FUTURE:] *= future_scale
        step_ms = need.timeframe.duration_ms
        walk["open_time_ms"] = np.arange(count, dtype=np.int64) * step_ms + _START_MS - count * step_ms
        history[need.timeframe] = walk
    return history


def _walk(count: int, chance: np.random.Generator) -> dict[str, np.ndarray]:
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.01, count)))
    opened = np.concatenate([[100.0], close[:-1]])
    reach = np.abs(chance.normal(0, 0.004, (2, count))) + 1e-4
    high, low = np.maximum(opened, close) * (1 + reach[0]), np.minimum(opened, close) * (1 - reach[1])
    return {"open": opened, "high": high, "low": low, "close": close, "volume": chance.exponential(10.0, count)}


def _windows(strategy: Strategy, history: _History) -> Mapping[Timeframe, WindowColumns]:
    """The last windows before the future begins: rows that overlap in memory as far as contiguous rows can.

    Each row is copied out of the history with the future right behind it, so that reading past a window reads it.
    """
    windows = {}
    for need in strategy.needs:
        grids = {}
        for name in (*_NAMES, "open_time_ms"):
            series = history[need.timeframe][name]
            end = len(series) - _FUTURE
            rows = [series[end - _ROWS + 1 + row - need.length : end - _ROWS + 1 + row] for row in range(_ROWS)]
            buffer = np.concatenate([*rows, series[end:]])  # the last row is followed by the future itself
            grids[name] = buffer[: _ROWS * need.length].reshape(_ROWS, need.length)
        windows[need.timeframe] = WindowColumns(**grids)
    return windows
