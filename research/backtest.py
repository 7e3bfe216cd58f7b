"""One strategy over one history: evaluation, life of its signals, account, metrics."""

from collections.abc import Sequence
from typing import Any

import msgspec

from research.evaluation import Evaluation, evaluate
from research.history import History
from research.metrics import metrics_of
from research.portfolio import Account, Book, book_of
from research.simulation import Simulated, Simulation
from shared.deciding.active import ActiveStrategy
from shared.domain.bias import MacroBias
from shared.domain.checks import require


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a backtest found."""

    evaluation: Evaluation
    simulated: Simulated
    book: Book
    metrics: dict[str, Any]


def run_backtest(
    active: ActiveStrategy, history: History, account: Account, *, biases: Sequence[MacroBias] = ()
) -> Backtest:
    """The exact path: fixed windows, every test recorded. Raises InvalidValueError where the history is too short for one window."""
    evaluation = evaluate(active, history, biases)
    need = active.strategy.needs[0]
    rule = f"{active.name} needs {need.length} candles of {need.timeframe} in a row, and what else it reads, before it decides"
    require(len(evaluation.closes_ms) > 0, rule, len(history.series[need.timeframe]), "candles")
    simulated = Simulation([active], history).run({active.name: evaluation})
    book = book_of(simulated.signals, history, account, evaluation.closes_ms)
    return Backtest(evaluation=evaluation, simulated=simulated, book=book, metrics=metrics_of(book))
