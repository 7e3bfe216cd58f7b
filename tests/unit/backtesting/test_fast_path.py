"""The fast path gives the trades of the exact one, on recorded candles, whatever the parameters."""

import msgspec
import numpy as np
import pytest

from cli.replay.candle_reader import read_candles
from research.evaluation import evaluate
from research.fast import life
from research.fast.figures import figures_at
from research.fast.path import FastPath
from research.history import history_of
from research.measures import measured, measured_trades
from research.portfolio import Account, Costs, book_of
from research.simulation import Simulation
from shared.deciding.active import active_strategy
from shared.domain.timeframe import Timeframe
from shared.strategies.base import WindowNeed

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
HOURS = "ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def minutes(market_data):
    candles = read_candles(market_data / MINUTES, exchange="binance-spot", symbol="BTCUSDT").candles
    return history_of(
        candles[:30_000], [WindowNeed(timeframe) for timeframe in (Timeframe.M15, Timeframe.H1, Timeframe.H4)]
    )


@pytest.mark.parametrize(
    ("kind", "parameters", "opposite", "age"),
    [
        ("macd_adx", {"take_profit_pct": 0.4, "stop_loss_pct": 0.3, "adx_min": 15.0}, "ignore", 24),
        ("ema_cross", {"direction": "long_flat", "threshold_pct": 0.02}, "close", None),
        (
            "rsi_momentum",
            {"oversold": 40.0, "overbought": 60.0, "momentum_candles": 3, "take_profit_pct": 0.5, "stop_loss_pct": 0.5},
            "close",
            40,
        ),
        ("bollinger", {"stop_loss_pct": 0.6, "squeeze_pct": 0.2}, "ignore", 48),
        ("ema_atr", {"atr_pct_max": 5.0, "slope_pct_min": 0.01}, "ignore", None),
        ("donchian", {"window": 30}, "close", 16),
        ("supertrend", {"multiplier": 2.0, "direction": "long_flat"}, "close", None),
        ("mtf_score", {"regime": "risk_on", "take_profit_pct": 1.0, "stop_loss_pct": 1.0}, "close", 96),
    ],
)
def test_columns_of_every_window_make_the_trades_of_decisions_on_finer_candles(
    minutes, kind, parameters, opposite, age
):
    active = active_strategy(kind, Timeframe.M15, parameters, on_opposite=opposite, max_age_candles=age)
    path = FastPath(minutes, Account(fraction=0.5))

    columns, exact = path.by_columns(active), path.exact(active)

    assert len(columns) > 10
    assert np.array_equal(columns.rows[:, : life.ASK], exact.rows[:, : life.ASK])
    assert np.array_equal(columns.prices, exact.prices)
    assert np.array_equal(columns.closed_at_ms, exact.closed_at_ms)
    np.testing.assert_allclose(columns.fraction, exact.fraction, rtol=1e-11)


@pytest.mark.parametrize(
    ("still", "lengths"), [(300, (8, 24, 9)), (1_000, (8, 24, 9)), (1_000, (40, 100, 50)), (0, (40, 100, 50))]
)
def test_standing_prices_and_long_memories_make_the_trades_of_windows(hours, still, lengths):
    candles = [
        msgspec.structs.replace(one, open=2e4, high=2e4, low=2e4, close=2e4) if 900 < row < 900 + still else one
        for row, one in enumerate(hours.candles[:3_000])
    ]
    path = FastPath(history_of(candles, []), Account())
    parameters = {"adx_min": 0.0, **dict(zip(("fast", "slow", "signal"), lengths, strict=True))}
    active = active_strategy("macd_adx", Timeframe.H1, parameters, on_opposite="close", max_age_candles=None)
    fast, exact = path.trades(active), path.exact(active)
    assert len(fast) > 10
    assert np.array_equal(fast.rows[:, : life.ASK], exact.rows[:, : life.ASK])


@pytest.mark.parametrize("kind", ["continuation", "reversal", "rsi_divergence", "macd_unified"])
def test_what_columns_cannot_say_is_left_to_decisions(minutes, kind):
    active = active_strategy(kind, Timeframe.M15)
    assert FastPath(minutes, Account()).by_columns(active) is None


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("macd_adx", {}),
        ("macd_adx", {"fast": 2, "slow": 3, "signal": 2, "adx_period": 2, "volatility_candles": 2}),
        ("macd_adx", {"slow": 120, "signal": 60, "adx_period": 60, "volatility_mode": "inverse_var"}),
        ("bollinger", {"window": 37}),
        ("donchian", {"window": 119}),
    ],
)
def test_figures_of_many_windows_have_the_bits_of_the_strategys_own_kernel(hours, kind, parameters):
    active = active_strategy(kind, Timeframe.H1, parameters)
    closes = hours.ready_closes(active.strategy.needs)[:700]
    series = hours.series[Timeframe.H1]
    values = series.values.copy()
    values[:4, 100:200] = 20_000.0  # no range, no movement, no deviation
    still = msgspec.structs.replace(hours, series={Timeframe.H1: msgspec.structs.replace(series, values=values)})

    found = figures_at(active.strategy, still, closes)
    own = active.strategy.figures(still.columns(active.strategy.needs, closes))

    for name in ("values", "thresholds", "take_profit", "stop_loss", "extra"):
        grid, twin = getattr(found, name), getattr(own, name)
        assert (grid is None and twin is None) or np.array_equal(
            np.asarray(grid, dtype=float), np.asarray(twin, dtype=float), equal_nan=True
        ), name
    assert np.isfinite(found.values).any()
