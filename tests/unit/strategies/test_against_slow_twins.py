"""Every strategy on recorded candles, window by window, beside its slow twin; and rows that do not know one another."""

import csv
import gzip
from collections import Counter

import numba
import numpy as np
import pytest

from shared.domain.errors import InvalidValueError
from shared.domain.timeframe import Timeframe
from shared.strategies.base import WindowColumns, picked_rows
from shared.strategies.registry import build_strategy
from tests.support import slow_strategies as slow

MINUTE_FILE = "ohlcv/binance_spot_SOLUSDT_1m_2022-11.csv.gz"
HOUR_FILE = "ohlcv/kraken_XBTUSD_1h_2013-10_2023-01.csv.gz"
CLOSE = {"rel": 1e-9, "abs": 1e-9}


@pytest.fixture(scope="module")
def hours(market_data):
    """The last 2,000 recorded hours without a hole: t, o, h, l, c, v as columns."""
    with gzip.open(market_data / HOUR_FILE, "rt", encoding="utf-8") as file:
        rows = [[float(value) for value in row[:6]] for row in list(csv.reader(file))[1:]]
    start = len(rows) - 1
    while rows[start][0] - rows[start - 1][0] == 3600 and len(rows) - start < 2000:
        start -= 1
    columns = np.array(rows[start:]).T
    columns[0] *= 1000
    return columns


@pytest.fixture(scope="module")
def half_hours(market_data):
    """November 2022 of SOL, with its fall from 33 to 11, in candles of 30 minutes."""
    with gzip.open(market_data / MINUTE_FILE, "rt", encoding="utf-8") as file:
        rows = np.array([[float(value) for value in row[:6]] for row in list(csv.reader(file))[1:]])
    t, o, h, low, c, v = (column.reshape(-1, 30) for column in rows.T)
    return np.array([t[:, 0], o[:, 0], h.max(axis=1), low.min(axis=1), c[:, -1], v.sum(axis=1)])


def windows_of(columns, length):
    """Every full window, one row each, oldest first."""
    view = np.lib.stride_tricks.sliding_window_view(columns, length, axis=1)
    t, *grids = (np.ascontiguousarray(view[place]) for place in range(6))
    return WindowColumns(**dict(zip(("open", "high", "low", "close", "volume"), grids, strict=True)), open_time_ms=t.astype(np.int64))  # fmt: skip


def as_lists(columns, row):
    names = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    return {short: getattr(columns, name)[row].tolist() for short, name in names.items()}


def assert_same(outcome, said):
    assert outcome.action == said.action
    by_name = {condition.name: condition.value for condition in outcome.conditions}
    for name, value in said.values.items():
        assert by_name[name] == pytest.approx(value, **CLOSE), name
    if said.score is not None:
        assert outcome.score == pytest.approx(said.score, **CLOSE)
    if said.action in {slow.LONG, slow.SHORT}:
        for level, expected in ((outcome.take_profit, said.target), (outcome.stop_loss, said.stop)):
            assert level == (expected if expected is None else pytest.approx(expected, **CLOSE))
    if said.extra and said.action == slow.LONG:
        assert outcome.sizing.notional == pytest.approx(said.extra["notional"], **CLOSE)
        assert outcome.sizing.quantity == pytest.approx(said.extra["quantity"], **CLOSE)


@pytest.mark.parametrize("name", sorted(slow.ONE_WINDOW))
def test_a_strategy_on_recorded_hours_equals_its_twin(hours, name):
    # Half-hour figures on hours would need half of the candles per day: the twin is told what the strategy knows.
    strategy = build_strategy(name, Timeframe.M30 if name == "macd_adx" else Timeframe.H1, {})
    columns = windows_of(hours, strategy.needs[0].length)
    outcomes = strategy.evaluate({strategy.needs[0].timeframe: columns})
    fired = [row for row, outcome in enumerate(outcomes) if outcome.action != slow.NONE]
    quiet = [row for row, outcome in enumerate(outcomes) if outcome.action == slow.NONE]
    assert fired or name == "reversal"
    for row in [*fired[:25], *quiet[:: max(1, len(quiet) // 25)]]:
        assert_same(outcomes[row], slow.ONE_WINDOW[name](as_lists(columns, row)))


@pytest.mark.parametrize(
    ("name", "fired_min"), [("reversal", 19), ("continuation", 600), ("macd_adx", 60), ("rsi_divergence", 30)]
)
def test_what_is_asked_in_a_wild_month_of_half_hours_equals_the_twin(half_hours, name, fired_min):
    strategy = build_strategy(name, Timeframe.M30, {})
    if numba.config.DISABLE_JIT:  # the days of the fall are enough there
        half_hours, fired_min = half_hours[:, :560], 1
    columns = windows_of(half_hours, strategy.needs[0].length)
    outcomes = strategy.evaluate({Timeframe.M30: columns})
    fired = [row for row, outcome in enumerate(outcomes) if outcome.action != slow.NONE]
    assert len(fired) >= fired_min
    assert numba.config.DISABLE_JIT or len({outcomes[row].action for row in fired}) == 2
    for row in fired[:: max(1, len(fired) // 40)]:
        assert_same(outcomes[row], slow.ONE_WINDOW[name](as_lists(columns, row)))


def test_the_reversal_model_fires_where_a_candle_turns_beyond_its_band(hours):
    chance = np.random.default_rng(5)
    strategy = build_strategy("reversal", Timeframe.H1, {})
    columns = windows_of(hours, 60)
    beyond = columns.close[:, -20:].mean(axis=1) * chance.uniform(0.8, 1.2, len(columns.close))
    columns.close[:, -1] = beyond
    columns.open[:, -1] = beyond * chance.choice([0.99, 1.01], len(beyond))
    columns.high[:, -1] = np.maximum(columns.high[:, -1], beyond * 1.02)
    columns.low[:, -1] = np.minimum(columns.low[:, -1], beyond * 0.98)
    outcomes = strategy.evaluate({Timeframe.H1: columns})
    seen = Counter(outcome.action for outcome in outcomes)
    assert min(seen[slow.LONG], seen[slow.SHORT]) > 50
    for row in range(0, len(outcomes), 23):
        assert_same(outcomes[row], slow.reversal(as_lists(columns, row)))


@pytest.mark.parametrize("absent", [(), ("1w",), ("1d", "1w"), ("1h", "4h", "1d", "1w")])
def test_the_multi_timeframe_score_renormalises_the_weights_of_what_is_there(hours, absent):
    strategy = build_strategy("mtf_score", Timeframe.M15, {})
    starts = range(0, 1500, 75)
    windows = {}
    for step, need in enumerate(strategy.needs):
        cut = windows_of(hours, need.length)
        rows = [start + 40 * step for start in starts]
        picked = WindowColumns(**{n: getattr(cut, n)[rows] for n in ("open", "high", "low", "close", "volume")})
        if need.timeframe in absent:
            for name in ("open", "high", "low", "close", "volume"):
                getattr(picked, name)[:] = np.nan
        windows[need.timeframe] = picked
    outcomes = strategy.evaluate(windows)
    assert len({outcome.action for outcome in outcomes}) > 1
    for row, outcome in enumerate(outcomes):
        there = {str(t): as_lists(columns, row) for t, columns in windows.items() if t not in absent}
        assert_same(outcome, slow.mtf_score(there))
        assert set(outcome.components) == set(there)
        assert sum(outcome.components.values()) == pytest.approx(outcome.score)


@pytest.mark.parametrize("name", sorted(slow.ONE_WINDOW))
def test_rows_do_not_know_one_another_and_windows_are_not_changed(hours, name):
    strategy = build_strategy(name, Timeframe.H1, {})
    columns = windows_of(hours[:, -460:], strategy.needs[0].length)
    before = columns.close.copy()
    together = strategy.evaluate({Timeframe.H1: columns})
    for row in (0, len(together) - 1):
        alone = WindowColumns(**{n: getattr(columns, n)[row : row + 1] for n in ("open", "high", "low", "close", "volume")})  # fmt: skip
        assert strategy.evaluate({Timeframe.H1: alone}) == [together[row]]
    assert np.array_equal(columns.close, before)


@pytest.mark.parametrize("name", sorted(slow.ONE_WINDOW))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_window_with_nan_or_inf_decides_nothing_and_says_so(hours, name, value):
    strategy = build_strategy(name, Timeframe.H1, {})
    columns = windows_of(hours[:, -400:], strategy.needs[0].length)
    clean = strategy.evaluate({Timeframe.H1: columns})
    columns.close[1, -3] = value
    outcomes = strategy.evaluate({Timeframe.H1: columns})
    assert (outcomes[1].action, outcomes[1].score) == (slow.NONE, 0.0)
    assert outcomes[1].notes[0].startswith("not_finite")
    assert outcomes[0] == clean[0]


@pytest.mark.parametrize("name", ["macd_unified", "mtf_score", "manager"])
def test_several_windows_with_nan_in_one_decide_nothing_and_say_so(hours, name):
    parameters = {"members": [{"kind": "donchian"}, {"kind": "macd_adx"}]} if name == "manager" else {}
    strategy = build_strategy(name, Timeframe.M15, parameters)
    windows = {need.timeframe: windows_of(hours[:, -460:], need.length) for need in strategy.needs}
    windows = {timeframe: picked_rows(columns, range(4)) for timeframe, columns in windows.items()}
    clean = strategy.evaluate(windows)
    windows[strategy.needs[0].timeframe].low[1, -3] = np.nan
    outcomes = strategy.evaluate(windows)
    assert outcomes[1].action == slow.NONE
    assert (outcomes[1].holds, outcomes[1].resets) == ((), ())
    assert outcomes[1].notes
    assert all("not_finite" in note for note in outcomes[1].notes)
    assert outcomes[0] == clean[0]
    assert outcomes[2:] == clean[2:]


@pytest.mark.parametrize("name", sorted(slow.ONE_WINDOW))
def test_too_few_candles_are_named_with_their_number(hours, name):
    strategy = build_strategy(name, Timeframe.H1, {})
    length = strategy.needs[0].length
    with pytest.raises(InvalidValueError, match=f"not_enough_history: 7 of {length} candles of 1h are missing"):
        strategy.evaluate({Timeframe.H1: windows_of(hours[:, -500:], length - 7)})


@pytest.mark.parametrize("name", sorted(slow.ONE_WINDOW))
@pytest.mark.parametrize("shape", ["flat", "rising", "falling", "doji"])
def test_degenerate_candles_decide_without_a_warning(name, shape, recwarn):
    strategy = build_strategy(name, Timeframe.M30, {})
    length = strategy.needs[0].length
    close = {"flat": np.full(length, 5.0), "rising": 1000.0 + np.arange(length), "falling": 1000.0 - np.arange(length)}  # fmt: skip
    price = np.tile(close.get(shape, 100 + np.sin(np.arange(length))), (2, 1))
    volume = np.zeros_like(price)
    columns = WindowColumns(open=price.copy(), high=price.copy(), low=price.copy(), close=price, volume=volume)
    first, second = strategy.evaluate({Timeframe.M30: columns})
    assert first == second
    if shape != "flat" or name not in {"ema_atr", "bollinger"}:  # their levels are the entry itself there: none
        assert_same(first, slow.ONE_WINDOW[name](as_lists(columns, 0)))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("ema_cross", {"fast": 30, "slow": 20}, "fast must be < slow"),
        ("ema_cross", {"threshold_pct": float("nan")}, "threshold_pct must be"),
        ("macd_adx", {"adx_min": 101}, "adx_min must be 0..100"),
        ("macd_adx", {"volatility_mode": "none"}, "volatility_mode"),
        ("continuation", {"score_min": 49}, "score_min must be 50..95"),
        ("mtf_score", {"weight_15m": 0.5}, "the weights must sum to 1"),
        ("bollinger", {"take_profit_pct": 0}, "take_profit_pct must be"),
        ("donchian", {"windows": 20}, "parameter must be one of"),
        ("manager", {"members": []}, "a manager needs members"),
        ("manager", {"members": [{"kind": "nobody"}]}, "strategy must be one of"),
        ("manager", {"members": [{"kind": "ema_cross", "weight": 0}]}, "weight must be > 0"),
    ],
)
def test_wrong_parameters_are_refused_by_name(name, parameters, words):
    with pytest.raises(InvalidValueError, match=words):
        build_strategy(name, Timeframe.M15, parameters)
