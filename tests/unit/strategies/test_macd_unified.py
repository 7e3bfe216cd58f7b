"""`macd_unified` on recorded quarters of an hour beside its slow twin: every rule that holds, every latch that lets go."""

import gzip
import io
from collections import Counter

import numba
import numpy as np
import pytest

from shared.domain.timeframe import DAY_MS, Timeframe
from shared.strategies.base import WindowColumns
from shared.strategies.latches import Latches, step
from shared.strategies.registry import build_strategy
from tests.support import slow_strategies as slow

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
NAMES = ("open", "high", "low", "close", "volume")


def rolled(minutes, size):
    """Columns t, o, h, l, c, v of whole candles of `size` minutes from a run that begins at midnight."""
    count = minutes.shape[1] // size
    t, o, h, low, c, v = (column[: count * size].reshape(count, size) for column in minutes)
    return np.array([t[:, 0], o[:, 0], h.max(axis=1), low.min(axis=1), c[:, -1], v.sum(axis=1)])


@pytest.fixture(scope="module")
def minutes(market_data):
    """The recorded minutes after the halt of 2023-03-24, from the next midnight on."""
    text = gzip.decompress((market_data / MINUTES).read_bytes())
    columns = np.loadtxt(io.BytesIO(text), delimiter=",", skiprows=1, usecols=range(6)).T
    gap = np.flatnonzero(np.diff(columns[0]) != 60_000)[-1] + 1
    start = gap + int(-columns[0, gap] % DAY_MS) // 60_000
    return columns[:, start : start + 30 * 1440]


def window(columns, ends, length):
    rows = np.array(ends)[:, None] - length + np.arange(length)
    t, *grids = (np.ascontiguousarray(column[rows]) for column in columns)
    return WindowColumns(**dict(zip(NAMES, grids, strict=True)), open_time_ms=t.astype(np.int64))


@pytest.fixture(scope="module")
def windows(minutes):
    """Windows at every 15m close from the ninth day on, on all three timeframes."""
    quarters, fives, days = rolled(minutes, 15), rolled(minutes, 5), rolled(minutes, 1440)
    ends = np.arange(8 * 96, 30 * 96)[:: 12 if numba.config.DISABLE_JIT else 1]
    return {
        Timeframe.M15: window(quarters, ends, 350),
        Timeframe.M5: window(fives, ends * 3, 350),
        Timeframe.D1: window(days, ends // 96, 2),
    }


def lists(columns, row):
    short = zip(("t", "o", "h", "l", "c", "v"), ("open_time_ms", *NAMES), strict=True)
    return {key: getattr(columns, name)[row].tolist() for key, name in short}


def twin(windows, row):
    return slow.macd_unified(*(lists(windows[t], row) for t in (Timeframe.M15, Timeframe.M5, Timeframe.D1)))


def test_every_rule_and_every_release_equals_the_slow_twin(windows):
    strategy = build_strategy("macd_unified", Timeframe.M15, {})
    outcomes = strategy.evaluate(windows)
    telling = [row for row, outcome in enumerate(outcomes) if outcome.holds]
    seen = Counter(key for outcome in outcomes for key in outcome.holds)
    assert len(seen) >= (6 if numba.config.DISABLE_JIT else 18)
    for row in sorted({*telling[::6], *range(0, len(outcomes), 97)}):
        said, outcome = twin(windows, row), outcomes[row]
        assert (set(outcome.holds), set(outcome.resets)) == (said.holds, said.extra["resets"])
        by_name = {condition.name: condition for condition in outcome.conditions}
        for name, value in said.values.items():
            assert by_name[name].value == pytest.approx(value, rel=1e-9, abs=1e-9)
        assert by_name["vwap_up"].threshold == pytest.approx(said.extra["vwap"], rel=1e-9)
        for key in outcome.holds:
            assert by_name[key].passed
            assert by_name[key].margin >= 0
    assert all(not c.passed or c.margin >= 0 for outcome in outcomes for c in outcome.conditions)
    assert all(c.passed or c.margin is None or c.margin <= 0 for outcome in outcomes for c in outcome.conditions)


def test_latches_tell_each_move_once_over_the_whole_month(windows):
    strategy = build_strategy("macd_unified", Timeframe.M15, {})
    closes = windows[Timeframe.M15].open_time_ms[:, -1] + 900_000
    latches, raised, held = Latches(), Counter(), Counter()
    for outcome, close_ms in zip(strategy.evaluate(windows), closes.tolist(), strict=True):
        before = set(latches.active)
        taken = step(latches, holds=outcome.holds, resets=outcome.resets, close_time_ms=close_ms, rules=strategy.alert_rules, policy=strategy.latch_policy)  # fmt: skip
        assert sum(key.startswith("pivot") for key in taken.raised) <= 3
        assert len(taken.raised) <= 8
        assert not set(taken.raised) & (before - set(outcome.resets)) or close_ms % DAY_MS == 900_000
        latches = taken.latches
        raised.update(taken.raised)
        held.update(outcome.holds)
    assert set(raised) == set(held)
    assert sum(raised.values()) <= sum(held.values())


def test_without_yesterday_there_are_no_pivots_and_a_doji_or_a_jump_is_passed_over(windows):
    strategy = build_strategy("macd_unified", Timeframe.M15, {})
    few = {t: WindowColumns(**{n: getattr(c, n)[:4].copy() for n in (*NAMES, "open_time_ms")}) for t, c in windows.items()}  # fmt: skip
    for name in NAMES:
        getattr(few[Timeframe.D1], name)[0] = np.nan
    few[Timeframe.D1].open_time_ms[0] = 0
    last = few[Timeframe.M15]
    last.open[1, -1] = last.high[1, -1] = last.low[1, -1] = last.close[1, -1]
    last.close[2, -1] = last.high[2, -1] = last.close[2, -2] * 1.6
    outcomes = strategy.evaluate(few)
    pivots = [c for c in outcomes[0].conditions if c.name.startswith("pivot")]
    assert len(pivots) == 12
    assert all(condition.value is None and not condition.passed for condition in pivots)
    for outcome in outcomes[1:3]:
        assert (outcome.holds, outcome.resets) == ((), ())
        assert outcome.notes[0].startswith("passed_over")
    assert outcomes[3] == strategy.evaluate(windows)[3]


def test_a_monotone_series_overruns_nothing():
    strategy = build_strategy("macd_unified", Timeframe.M15, {})
    rising = np.tile(1000.0 + np.arange(350), (3, 1))
    columns = WindowColumns(open=rising - 0.5, high=rising + 0.1, low=rising - 0.6, close=rising, volume=np.ones_like(rising), open_time_ms=np.tile(np.arange(350) * 900_000, (3, 1)))  # fmt: skip
    day = WindowColumns(**{name: np.full((3, 2), 1000.0) for name in NAMES}, open_time_ms=np.zeros((3, 2), dtype=np.int64))  # fmt: skip
    first, *others = strategy.evaluate({Timeframe.M15: columns, Timeframe.M5: columns, Timeframe.D1: day})
    assert others == [first, first]
    said = slow.macd_unified(lists(columns, 0), lists(columns, 0), lists(day, 0))
    assert (set(first.holds), set(first.resets)) == (said.holds, said.extra["resets"])
