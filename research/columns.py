"""The exact path without an object per candle: fixed windows, every test recorded as columns, what is asked for as columns.

A strategy of tests whose entries have no more than a side, levels and a size has this form. Any other (memory, alerts, members, stops
that trail, ends by time, size by risk) is followed through Decisions and signals, of which this gives the trades to the bit.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from research.evaluation import CHUNK_ROWS
from research.fast import life
from research.fast.figures import figures_at
from research.history import FloatArray, History, IntArray
from research.portfolio import Account
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import Direction
from shared.strategies.base import Tested
from shared.strategies.macd_adx import MacdAdx
from shared.strategies.verdicts import Figures, TestedStrategy

_NO_LEVELS = np.empty((0, 2))


class Asked(NamedTuple):
    """What a strategy asks for, oldest first. at: own candle; asks: ASK_ values; fraction: of equity; levels: stop and target."""

    at: IntArray
    asks: IntArray
    fraction: FloatArray
    levels: FloatArray = _NO_LEVELS


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of n candles: values, thresholds, passed (n, tests); and what comes of them."""

    names: tuple[str, ...]
    closes_ms: IntArray
    values: FloatArray
    thresholds: FloatArray
    passed: FloatArray
    asked: Asked


def columns_of(active: ActiveStrategy, history: History, account: Account) -> Columns | None:
    """Of every candle that ends whole windows; None where the strategy has no such form, or a number is not finite."""
    strategy = active.by_symbol.get(history.symbol, active.strategy)
    if not isinstance(strategy, TestedStrategy) or not _is_plain(strategy):
        return None
    closes_ms = history.ready_closes(strategy.needs)
    parts: list[Tested] = []
    asked: list[Asked] = []
    first = len(history.series[active.timeframe]) - len(closes_ms)
    for begin in range(0, len(closes_ms), CHUNK_ROWS):
        found = figures_at(strategy, history, closes_ms[begin : begin + CHUNK_ROWS])
        if found is None:
            return None
        parts.append(strategy.tested_figures(found))
        close = history.series[active.timeframe].values[3, first + begin : first + begin + len(parts[-1].sides)]
        asked.append(_asked(strategy, found, parts[-1].sides, close, account, first + begin))
    if not parts:
        return None
    return Columns(
        names=parts[0].names,
        closes_ms=closes_ms,
        values=np.concatenate([part.values for part in parts]),
        thresholds=np.concatenate([part.thresholds for part in parts]),
        passed=np.concatenate([part.passed for part in parts]),
        asked=Asked(*(np.concatenate(columns) for columns in zip(*asked, strict=True))),
    )


def _is_plain(strategy: TestedStrategy) -> bool:
    own = strategy.parameters
    special = [name for name in own if name in {"risk_pct", "trailing"} or name.startswith(("time_exit", "trail"))]
    simple = type(strategy).outcome is TestedStrategy.outcome or type(strategy) is MacdAdx
    return simple and strategy.memory_model is None and not any(own[name] for name in special)


def _asked(
    strategy: TestedStrategy, found: Figures, sides: IntArray, close: FloatArray, account: Account, first: int
) -> Asked:
    rows = np.flatnonzero(sides)
    asks = sides[rows]
    if strategy.own.direction == "long_flat":
        asks = np.where(asks < 0, life.ASK_EXIT, asks)
    fraction = np.full(len(rows), account.fraction)
    if isinstance(strategy, MacdAdx):
        fraction = strategy.fractions(found.values[rows, -1])
    return Asked(rows + first, asks, fraction, _levels(strategy, found, rows, asks, close))


def _levels(strategy: TestedStrategy, found: Figures, rows: IntArray, asks: IntArray, close: FloatArray) -> FloatArray:
    """Stop and target of each entry, as the strategy rounds them; (0, 2) where it has none."""
    own = strategy.own
    if found.take_profit is None and found.stop_loss is None and own.take_profit_pct is own.stop_loss_pct is None:
        return _NO_LEVELS
    levels = np.full((len(rows), 2), np.nan)
    for place, (row, ask) in enumerate(zip(rows.tolist(), asks.tolist(), strict=True)):
        if ask != life.ASK_EXIT:
            side = Direction.LONG if ask == life.ASK_LONG else Direction.SHORT
            target, stop = strategy.levels(found, row, side, float(close[row]))
            levels[place] = np.nan if stop is None else stop, np.nan if target is None else target
    return levels
