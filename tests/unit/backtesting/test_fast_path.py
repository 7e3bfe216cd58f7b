"""The fast path gives the trades of the exact one, on recorded candles, whatever the parameters."""

import msgspec
import numpy as np
import pytest

from cli.replay.candle_reader import read_candles
from research.evaluation import evaluate
from research.fast.path import FastPath
from research.history import history_of
from research.measures import measured, measured_trades
from research.portfolio import Account, Costs, book_of
from research.simulation import Simulation
from shared.deciding.active import active_strategy
from shared.domain.timeframe import Timeframe

HOURS = "ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"


@pytest.fixture
def hours(market_data):
    candles = read_candles(market_data / HOURS, exchange="kraken-spot", symbol="XBTUSD").candles
    return history_of(candles[-6_000:], [])


@pytest.mark.parametrize(
    ("parameters", "opposite", "age"),
    [
        ({}, "close", None),
        ({"fast": 5, "slow": 35, "signal": 5, "adx_min": 0.0, "volatility_candles": 30}, "close", None),
        ({"direction": "both", "adx_min": 10.0}, "close", 40),
        ({"fast": 10, "slow": 30}, "ignore", 24),
    ],
)
def test_fast_and_exact_path_make_the_same_trades(hours, parameters, opposite, age):
    active = active_strategy("macd_adx", Timeframe.H1, parameters, on_opposite=opposite, max_age_candles=age)
    account = Account(costs=Costs(fee_bps=12.0))
    path = FastPath(hours, account)

    fast, exact = path.trades(active), path.exact(active)

    assert len(fast) > 30
    for name in ("opened", "closed", "closed_at_ms", "side", "reason"):
        assert np.array_equal(getattr(fast, name), getattr(exact, name)), name
    assert np.array_equal(fast.prices, exact.prices)
    (returns, gains), (exact_returns, _) = fast.accounted(), exact.accounted()
    np.testing.assert_allclose(returns, exact_returns, rtol=1e-9, atol=1e-12)

    evaluation = evaluate(active, hours)
    signals = Simulation([active], hours).run({active.name: evaluation}).signals
    book = book_of(signals, hours, account, evaluation.closes_ms)
    equity = account.start_cash * np.cumprod(1 + returns)[-len(book.equity) :]
    np.testing.assert_allclose(book.equity, equity, rtol=1e-6)

    first = active.strategy.needs[0].length - 1
    slow = measured(returns[first:], gains, int((fast.closed - fast.opened).sum()), Timeframe.H1)
    assert msgspec.structs.astuple(measured_trades(fast, Timeframe.H1, first)) == pytest.approx(
        msgspec.structs.astuple(slow), rel=1e-9
    )
