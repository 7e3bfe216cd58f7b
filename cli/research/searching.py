"""The commands behind `cst sweep`, `cst walk-forward` and `cst significance`."""

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from rich.console import Console
from rich.progress import track

from cli.folders import make_folder
from cli.research.backtest import BacktestRequest, chosen, load, recipe_of
from cli.research.sources import utc_text
from research.fast.path import FastPath
from research.heat_map import heat_map_html
from research.history import History, history_of
from research.measures import Measures
from research.recipe import Recipe
from research.significance import significance
from research.sweep import Candidate, best_first, buildable, candidates_of, grid_of, run_trades, some_of
from research.walk_forward import Plan, Walked, walk_forward
from shared.domain.errors import PermanentError

_COLUMNS = ("trades", "sharpe", "return_pct", "max_drawdown_pct", "hit_rate_pct", "exposure_pct")
CONNECT_SECONDS = 20.0  # to a scheduler, and until it has a worker
_Item = TypeVar("_Item")


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is varied. axes: NAME=V1,V2,... each. random: so many of the grid by chance, 0 for all."""

    axes: tuple[str, ...]
    random: int = 0
    seed: int = 1
    top: int = 10
    trades_min: int = 20
    scheduler: str = ""  # a Dask scheduler's address; empty: this process


class _Task(NamedTuple):
    """What is searched. first: the first candle that any set decides on."""

    recipe: Recipe
    grid: list[dict[str, Any]]
    history: History
    first: int


def run_sweep(request: BacktestRequest, search: Search) -> list[Candidate]:
    """Every set over the whole history: sweep.csv, heat_map.html, the best on the screen."""
    task = _task_of(request, search)
    found = best_first(list(_shown(_candidates(request, search, task), len(task.grid))), search.trades_min)
    for one in found[: search.top]:
        task.recipe.active(one.parameters)  # what is recommended was probed for a look ahead itself
    make_folder(request.out)
    names = list(found[0].parameters)
    _write_csv(request.out / "sweep.csv", found, names)
    across, down = (names * 2)[:2] if len(names) < 2 else names[:2]  # noqa: PLR2004 - a map has two sides
    title = f"{request.strategy} {task.recipe.timeframe} on {task.history.exchange} {task.history.symbol}"
    (request.out / "heat_map.html").write_text(heat_map_html(title, found, across, down), encoding="utf-8")
    _show(found[: search.top], f"{len(found)} sets, in sample; the best of many tries looks good by chance alone")
    print(f"written to {request.out}")
    return found


def run_walk_forward(request: BacktestRequest, search: Search, plan: Plan) -> Walked:
    """Out of sample only: walk_forward.json, the folds on the screen."""
    task = _task_of(request, search)
    timeframe = task.recipe.timeframe
    own = task.history.series[timeframe]
    runs = run_trades(task.recipe, task.grid, task.history, request.account)
    kept = list(_shown(runs, len(task.grid)))
    walked = walk_forward(kept, timeframe, plan, task.first)
    make_folder(request.out)
    told = {
        "sets": len(kept),
        "plan": plan,
        "costs": request.account.costs,
        "out_of_sample": walked.out_of_sample,
        "folds": [
            {**msgspec.structs.asdict(fold), "test_from": utc_text(int(own.open_time_ms[fold.test[0]]))}
            for fold in walked.folds
        ],
    }
    (request.out / "walk_forward.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    print(f"{'fold from':>18}{'sharpe trained':>16}{'out of sample':>16}{'trades':>8}{'return %':>10}")
    for fold in walked.folds:
        promised = "" if fold.in_sample is None else f"{fold.in_sample.sharpe:.2f}"
        text = " ".join(f"{name}={value}" for name, value in (fold.parameters or {}).items()) or "nothing"
        out, begin = fold.out_of_sample, utc_text(int(own.open_time_ms[fold.test[0]]))
        print(f"{begin:>18}{promised:>16}{out.sharpe:>16.2f}{out.trades:>8}{out.return_pct:>10.2f}   {text}")
    _say(f"out of sample, {len(kept)} sets", walked.out_of_sample)
    return walked


def run_significance(request: BacktestRequest, search: Search) -> str:
    """One rule, or the best of a grid with what trying many costs; one line."""
    if search.axes:
        task = _task_of(request, search)
        found = best_first(list(_shown(_candidates(request, search, task), len(task.grid))), search.trades_min)
        best, tried, first = found[0].parameters, len(found), task.first
        trades = FastPath(task.history, request.account).trades(task.recipe.active(best))
        print(f"the best of {tried}: " + " ".join(f"{name}={value}" for name, value in best.items()))
    else:
        active = chosen(request)
        history = history_of(load(request).candles, active.strategy.needs)
        trades, tried = FastPath(history, request.account).trades(active), 1
        first = active.strategy.needs[0].length - 1
    if not len(trades):
        raise PermanentError(f"{request.strategy} made no trade on these candles: nothing to compare")
    text = significance(trades, first=first, tried=tried).text
    print(text)
    return text


def _task_of(request: BacktestRequest, search: Search) -> _Task:
    recipe = recipe_of(request)
    grid, refused = buildable(recipe, grid_of(_axes(search.axes)))
    if refused:
        print(f"left out: {len(refused)} sets that break a rule of the strategy: {refused[0]}", file=sys.stderr)
    if search.random:
        grid = some_of(grid, search.random, search.seed)
    source = load(request)
    needs = {need for parameters in grid for need in recipe.active(parameters, probed=False).strategy.needs}
    history = history_of(source.candles, needs)
    if source.holes:
        print(f"absent: {source.gaps_text}", file=sys.stderr)
    return _Task(recipe, grid, history, max(need.length for need in needs) - 1)


def _candidates(request: BacktestRequest, search: Search, task: _Task) -> Iterator[Candidate]:
    """On this machine, or where a Dask scheduler is named there: the same."""
    if not search.scheduler:
        return candidates_of(task.recipe, task.grid, task.history, request.account, task.first)
    from research.cluster import candidates_on

    return candidates_on(
        search.scheduler,
        task.recipe,
        task.grid,
        task.history,
        request.account,
        task.first,
        connect_seconds=CONNECT_SECONDS,
    )


def _shown(items: Iterator[_Item], count: int) -> Iterator[_Item]:
    """The same, with a bar where somebody looks."""
    console = Console(stderr=True)
    yield from track(items, total=count, description="sets", console=console, disable=not sys.stderr.isatty())


def _axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """NAME=V1,V2: values are JSON where they can be, else text."""
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        if not sign or not values:
            raise PermanentError(f"--grid must be NAME=VALUE,VALUE,..., was {text!r}")
        axes[name] = [_value(value) for value in values.split(",")]
    return axes


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _write_csv(file: Path, found: Sequence[Candidate], names: Sequence[str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*names, *_COLUMNS])
        for one in found:
            measures = [getattr(one.measures, name) for name in _COLUMNS]
            writer.writerow([*(one.parameters[name] for name in names), *measures])


def _show(found: Sequence[Candidate], title: str) -> None:
    print(title)
    print("".join(f"{name:>18}" for name in _COLUMNS))
    for one in found:
        text = " ".join(f"{name}={value}" for name, value in one.parameters.items())
        print("".join(f"{getattr(one.measures, name):>18,.2f}" for name in _COLUMNS) + f"   {text}")


def _say(what: str, measures: Measures) -> None:
    figures = ", ".join(f"{name.replace('_', ' ')} {getattr(measures, name):.2f}" for name in _COLUMNS)
    print(f"{what}: {figures}")
