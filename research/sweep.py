"""Many parameter sets over one history: a grid, or some of it by chance. The same result whatever the order."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from research.fast.path import FastPath
from research.fast.trades import Trades
from research.history import History
from research.measures import Measures, measured_trades
from research.portfolio import Account
from research.recipe import Recipe
from shared.domain.checks import require
from shared.domain.errors import InvalidValueError


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter set and what it made."""

    parameters: dict[str, Any]
    measures: Measures


def grid_of(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination, the last axis fastest. {"fast": [5, 8], "slow": [24]} -> two sets."""
    require(bool(axes), "at least one parameter must vary", dict(axes), "grid")
    for name, values in axes.items():
        require(bool(values), f"{name} needs at least one value", list(values), "grid")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def some_of(grid: Sequence[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` different sets by chance, in the grid's order; all where there are no more."""
    if count >= len(grid):
        return list(grid)
    chosen = np.random.default_rng(seed).choice(len(grid), size=count, replace=False)
    return [grid[place] for place in sorted(chosen.tolist())]


def buildable(recipe: Recipe, grid: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The sets that obey the strategy's rules (fast < slow, say), and why the others do not."""
    good: list[dict[str, Any]] = []
    refused: list[str] = []
    for parameters in grid:
        try:
            recipe.active(parameters, probed=not good)
        except InvalidValueError as error:
            refused.append(str(error))
        else:
            good.append(parameters)
    if not good:
        raise InvalidValueError(f"no parameter set of {len(grid)} can be built: {refused[0]}")
    return good, refused


def run_trades(
    recipe: Recipe, grid: Sequence[dict[str, Any]], history: History, account: Account
) -> Iterator[tuple[dict[str, Any], Trades]]:
    """Each set with its trades, one after the other."""
    path = FastPath(history, account)
    for parameters in grid:
        yield parameters, path.trades(recipe.active(parameters, probed=False))


def candidates_of(
    recipe: Recipe, grid: Sequence[dict[str, Any]], history: History, account: Account, first: int
) -> Iterator[Candidate]:
    """Each set measured from candle `first` on, the first with a whole window; no set's trades are kept."""
    for parameters, trades in run_trades(recipe, grid, history, account):
        yield Candidate(parameters=parameters, measures=measured_trades(trades, recipe.timeframe, first))


def best_first(candidates: Sequence[Candidate], trades_min: int) -> list[Candidate]:
    """By Sharpe; those with too few trades last, since they tell least."""
    return sorted(candidates, key=lambda one: (one.measures.trades < trades_min, -one.measures.sharpe))
