"""Every Decision of a strategy over a history, made by the functions that make them live.

A strategy of tests is first judged as columns (each test's value, threshold and verdict on every candle); a full Decision is
then made where it asks for something. Any other makes all of them.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from research.fast.figures import tested_at
from research.history import FloatArray, History, IntArray
from shared.deciding.active import ActiveStrategy
from shared.deciding.bias_versions import bias_at
from shared.deciding.decide import Moment, decide
from shared.domain.bias import NO_BIAS, BiasInForce, MacroBias
from shared.domain.decisions import Action, Decision

CHUNK_ROWS: Final = 4096  # windows of so many candles stand in memory at once


class _Part(NamedTuple):
    names: tuple[str, ...]
    values: FloatArray
    thresholds: FloatArray
    passed: npt.NDArray[np.bool_]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of n candles as columns, and the Decisions that ask for something, hold or let go of an alert.

    closes_ms: (n,). values, thresholds, passed: (n, tests), NaN where a test has no value. decisions: by close.
    """

    names: tuple[str, ...]
    closes_ms: IntArray
    values: FloatArray
    thresholds: FloatArray
    passed: npt.NDArray[np.bool_]
    decisions: dict[int, Decision]


def all_decisions(active: ActiveStrategy, history: History, biases: Sequence[MacroBias] = ()) -> Iterator[Decision]:
    """The Decision on every candle that ends whole windows, oldest first, before memory and latches judge it."""
    for closes in _chunks(history.ready_closes(active.strategy.needs)):
        yield from decisions_at(active, history, closes, biases)


def evaluate(active: ActiveStrategy, history: History, biases: Sequence[MacroBias] = ()) -> Evaluation:
    """Columns for every candle that ends whole windows; see Evaluation."""
    needs = active.strategy.needs
    strategy = active.by_symbol.get(history.symbol, active.strategy)
    closes_ms = history.ready_closes(needs)
    parts: list[_Part] = []
    decisions: dict[int, Decision] = {}
    for closes in _chunks(closes_ms):
        tested = tested_at(strategy, history, closes)
        if tested is not None:
            parts.append(_Part(tested.names, tested.values, tested.thresholds, tested.passed))
            made = decisions_at(active, history, closes[tested.asks], biases)
        else:
            made = decisions_at(active, history, closes, biases)
            parts.append(_part_of(made))
        decisions.update((one.close_time_ms, one) for one in made if _matters(one))
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    return Evaluation(
        names=names,
        closes_ms=closes_ms,
        values=_joined(parts, names, "values"),
        thresholds=_joined(parts, names, "thresholds"),
        passed=_joined(parts, names, "passed").astype(np.bool_),
        decisions=decisions,
    )


def decisions_at(
    active: ActiveStrategy, history: History, closes_ms: IntArray, biases: Sequence[MacroBias]
) -> list[Decision]:
    """The Decisions on these closes, each made in time."""
    if not len(closes_ms):
        return []
    windows = history.windows(active.strategy.needs, closes_ms)
    series = [(history.exchange, history.symbol)] * len(closes_ms)
    now_ms = int(closes_ms[-1])
    moment = Moment(close_time_ms=now_ms, market_ms=now_ms, entry_freshness_ms=0)
    closes = closes_ms.tolist()
    made = decide(active, series, windows, _in_force(biases, closes), moment)
    for decision, close_ms in zip(made, closes, strict=True):
        # Fresh values that nobody else holds; a copy of each would double the time.
        msgspec.structs.force_setattr(decision, "open_time_ms", close_ms - active.timeframe.duration_ms)
    return made


def _in_force(biases: Sequence[MacroBias], closes: Sequence[int]) -> list[BiasInForce]:
    return [bias_at(biases, close_ms) for close_ms in closes] if biases else [NO_BIAS] * len(closes)


def _matters(decision: Decision) -> bool:
    return decision.action is not Action.NONE or bool(decision.holds or decision.resets)


def _part_of(decisions: Sequence[Decision]) -> "_Part":
    names = tuple(dict.fromkeys(condition.name for decision in decisions for condition in decision.conditions))
    place = {name: column for column, name in enumerate(names)}
    values, thresholds = (np.full((len(decisions), len(names)), np.nan) for _ in range(2))
    passed = np.zeros(values.shape, dtype=np.bool_)
    for row, decision in enumerate(decisions):
        for condition in decision.conditions:
            column = place[condition.name]
            values[row, column] = np.nan if condition.value is None else condition.value
            thresholds[row, column], passed[row, column] = condition.threshold, condition.passed
    return _Part(names, values, thresholds, passed)


def _joined(parts: Sequence["_Part"], names: tuple[str, ...], column: str) -> FloatArray:
    """One column kind of all parts, below one another; NaN where a part does not have the test."""
    rows = sum(len(part.values) for part in parts)
    found = np.full((rows, len(names)), 0.0 if column == "passed" else np.nan)
    begin = 0
    for part in parts:
        grid = getattr(part, column)
        found[begin : begin + len(grid), [names.index(name) for name in part.names]] = grid
        begin += len(grid)
    return found


def _chunks(closes_ms: IntArray) -> Iterator[IntArray]:
    for begin in range(0, len(closes_ms), CHUNK_ROWS):
        yield closes_ms[begin : begin + CHUNK_ROWS]
