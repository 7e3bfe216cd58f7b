"""Walk-forward: choose on what was known, judge on what came after, again and again.

The history is cut into a first training stretch and folds behind it. For each fold the best parameter set of the training
stretch (everything before it, or a window of fixed length that rolls) is followed through the fold. Purged: a training trade
that does not end `purge` candles before the fold is not known yet. Embargo: the fold opens nothing in its first candles.
Only what happened in the folds is summed up; what training promised stands beside it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np

from research.fast.trades import Trades
from research.history import FloatArray
from research.measures import Cut, Measures, cut, measured
from shared.domain.checks import require
from shared.domain.timeframe import Timeframe


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """folds: how many. first_share: of the history, before the first fold. purge, embargo: candles."""

    folds: int = 5
    first_share: float = 0.5
    window: Literal["expanding", "rolling"] = "expanding"
    purge: int = 1
    embargo: int = 1
    trades_min: int = 20

    def __post_init__(self) -> None:
        require(1 <= self.folds <= 1_000, "folds must be 1..1000", self.folds, "walk-forward")  # noqa: PLR2004 - the rule names its bound
        require(0 < self.first_share < 1, "first_share must be > 0 and < 1", self.first_share, "walk-forward")
        require(self.purge >= 0, "purge must be >= 0", self.purge, "walk-forward")
        require(self.embargo >= 0, "embargo must be >= 0", self.embargo, "walk-forward")


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """train, test: [begin, end) candles. parameters: None where no set had enough trades; then nothing is traded."""

    train: tuple[int, int]
    test: tuple[int, int]
    parameters: dict[str, Any] | None
    in_sample: Measures | None
    out_of_sample: Measures


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """folds, and all of them together: out of sample only."""

    folds: list[Fold]
    out_of_sample: Measures
    returns: FloatArray


def spans(count: int, first: int, plan: Plan) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(train, test) candle ranges of each fold, embargo taken off; first: the first candle that can be decided on."""
    start = first + int((count - first) * plan.first_share)
    edges = np.linspace(start, count, plan.folds + 1).astype(int).tolist()
    length = start - first
    found = []
    for begin, end in pairwise(edges):
        train = (first if plan.window == "expanding" else begin - length, max(first, begin - plan.purge))
        test = (min(begin + plan.embargo, end), end)
        require(
            test[1] - test[0] > 1, "each fold must hold at least two candles behind its embargo", test, "walk-forward"
        )
        found.append((train, test))
    return found


def walk_forward(
    runs: Sequence[tuple[dict[str, Any], Trades]],
    timeframe: Timeframe,
    plan: Plan,
    first: int,
) -> Walked:
    """runs: each parameter set with its trades over the whole history (a Decision knows nothing of later candles)."""
    folds: list[Fold] = []
    pieces: list[Cut] = []
    for train, test in spans(len(runs[0][1].close), first, plan):
        parameters, in_sample, trades = _chosen(runs, timeframe, plan, train)
        piece = (
            cut(trades, *test, whole=False)
            if trades is not None
            else Cut(returns=np.zeros(test[1] - test[0]), gains=np.empty(0), held=0)
        )
        pieces.append(piece)
        measures = measured(piece.returns, piece.gains, piece.held, timeframe)
        folds.append(Fold(train=train, test=test, parameters=parameters, in_sample=in_sample, out_of_sample=measures))
    returns = np.concatenate([piece.returns for piece in pieces])
    gains = np.concatenate([piece.gains for piece in pieces])
    whole = measured(returns, gains, sum(piece.held for piece in pieces), timeframe)
    return Walked(folds=folds, out_of_sample=whole, returns=returns)


def _chosen(
    runs: Sequence[tuple[dict[str, Any], Trades]],
    timeframe: Timeframe,
    plan: Plan,
    train: tuple[int, int],
) -> tuple[dict[str, Any] | None, Measures | None, Trades | None]:
    """The set with the best Sharpe among those with enough trades; of equals the first."""
    best: tuple[dict[str, Any] | None, Measures | None, Trades | None] = (None, None, None)
    highest = -np.inf
    for parameters, trades in runs:
        piece = cut(trades, *train, whole=True)
        measures = measured(piece.returns, piece.gains, piece.held, timeframe)
        if measures.trades >= plan.trades_min and measures.sharpe > highest:
            best, highest = (parameters, measures, trades), measures.sharpe
    return best
