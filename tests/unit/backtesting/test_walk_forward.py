"""Sweep, walk-forward and significance, on recorded hours and on prices whose truth is known."""

import numpy as np
import pytest

from cli.replay.candle_reader import read_candles
from research.fast import life
from research.fast.path import FastPath
from research.fast.trades import Trades
from research.history import history_of
from research.measures import sharpe_of
from research.portfolio import Account, Costs
from research.recipe import Recipe
from research.significance import significance
from research.sweep import buildable, grid_of, run_trades, some_of
from research.walk_forward import Plan, spans, walk_forward
from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe

HOURS = "ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"
FREE = Account(costs=Costs(fee_bps=0, spread_bps=0, slippage_bps=0))
RECIPE = Recipe(
    name="macd_adx", kind="macd_adx", timeframe=Timeframe.H1, parameters={}, max_age_candles=None, on_opposite="close"
)
GRID = grid_of({"fast": [5, 10], "slow": [8, 30], "adx_min": [0.0, 20.0]})


@pytest.fixture
def hours(market_data):
    candles = read_candles(market_data / HOURS, exchange="kraken-spot", symbol="XBTUSD").candles
    return history_of(candles[-8_000:], [])


def test_a_grid_leaves_out_what_no_strategy_can_be_and_says_why():
    good, refused = buildable(RECIPE, GRID)
    assert len(GRID) == 8
    assert all(one["fast"] < one["slow"] for one in good)
    assert len(refused) == 2
    assert "fast must be < slow" in refused[0]
    assert some_of(good, 3, seed=7) == some_of(good, 3, seed=7)
    assert len({str(one) for one in some_of(good, 3, seed=7)}) == 3
    with pytest.raises(InvalidValueError, match="no parameter set of 1"):
        buildable(RECIPE, [{"fast": 9, "slow": 5}])


@pytest.mark.parametrize("window", ["expanding", "rolling"])
def test_folds_follow_their_training_with_purge_and_embargo(window):
    plan = Plan(folds=3, first_share=0.4, window=window, purge=5, embargo=7)
    found = spans(1_100, 100, plan)
    assert [test for _, test in found] == [(507, 700), (707, 900), (907, 1_100)]
    assert [train for train, _ in found] == (
        [(100, 495), (100, 695), (100, 895)] if window == "expanding" else [(100, 495), (300, 695), (500, 895)]
    )
    with pytest.raises(InvalidValueError, match="at least two candles behind its embargo"):
        spans(1_100, 100, Plan(folds=3, embargo=500))


def test_what_is_chosen_depends_on_nothing_behind_the_training(hours):
    good, _ = buildable(RECIPE, GRID)
    plan = Plan(folds=3, trades_min=5)

    def walked(history):
        return walk_forward(list(run_trades(RECIPE, good, history, FREE)), Timeframe.H1, plan, 359)

    before = walked(hours)
    assert all(fold.parameters for fold in before.folds)
    assert before.out_of_sample.trades == sum(fold.out_of_sample.trades for fold in before.folds) > 20
    assert before.out_of_sample.sharpe == pytest.approx(sharpe_of(before.returns, Timeframe.H1))
    # Turn the last fold's prices upside down: its choice, and every earlier fold, stay as they are.
    begin = before.folds[-1].test[0]
    series = hours.series[Timeframe.H1]
    series.values[:4, begin:] = series.values[3, begin] ** 2 / series.values[[0, 2, 1, 3], begin:]
    after = walked(hours)
    assert [fold.parameters for fold in after.folds] == [fold.parameters for fold in before.folds]
    assert after.folds[:-1] == before.folds[:-1]
    assert after.folds[-1].in_sample == before.folds[-1].in_sample
    assert after.folds[-1].out_of_sample != before.folds[-1].out_of_sample


def made_trades(close, opened, closed):
    opened, closed = np.array(opened), np.array(closed)
    rows = np.zeros((len(opened), life.TRADE_COLUMNS), dtype=np.int64)
    rows[:, [life.ENTRY, life.EXIT, life.SIDE]] = np.column_stack(
        [opened, closed, np.ones(len(opened), dtype=np.int64)]
    )
    prices = np.column_stack([close[opened], close[closed]])
    fraction = np.ones(len(opened))
    return Trades(account=Account(), close=close, rows=rows, prices=prices, fraction=fraction, closed_at_ms=closed)


def test_an_edge_is_told_from_chance_and_trying_much_takes_it_away():
    random = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 4_000)))
    starts = np.sort(random.choice(np.arange(10, 3_950, 20), 80, replace=False))
    seeing = np.array([start + int(np.argmin(close[start : start + 10])) for start in starts])
    clever = significance(made_trades(close, seeing, seeing + 5), first=5, draws=400)
    blind = significance(made_trades(close, starts, starts + 5), first=5, draws=400)

    assert clever.p < 0.01
    assert clever.text.startswith("unlikely to be chance alone")
    assert blind.p > 0.05
    assert blind.text.startswith("no edge")
    tried = significance(made_trades(close, seeing, seeing + 5), first=5, draws=400, tried=200)
    assert tried.corrected == pytest.approx(min(1.0, clever.p * 200))
    assert tried.text.startswith("no edge")


def test_the_recorded_rule_has_no_edge_worth_its_costs(hours):
    trades = FastPath(hours, Account()).trades(RECIPE.active({}))
    verdict = significance(trades, first=359)
    assert verdict.trades == len(trades) > 30
    assert 0 < verdict.p <= 1
