"""Whatever the seed, the symbol and the minute: plans and trades agree, and nothing depends on what was asked before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.core.bars import INTERVAL_MINUTES, interval_start, rolled_up
from services.simulator.core.day_plan import DAY_MINUTES, SLOTS_ALLOWED
from services.simulator.core.generated_source import GeneratedSource
from services.simulator.core.instruments import DEFAULT_SYMBOLS
from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS

symbols = st.one_of(st.sampled_from(DEFAULT_SYMBOLS), st.from_regex(r"[A-Z0-9]{1,8}USD[TC]", fullmatch=True))
seeds = st.integers(0, 2**40)
minutes = st.integers(20_000 * DAY_MINUTES, 21_000 * DAY_MINUTES)


def a_source(symbol, seed, slot_minutes=30, exact_from_minute=0):
    return GeneratedSource(
        (symbol,), seed=seed, slot_minutes=slot_minutes, first_minute=0, exact_from_minute=exact_from_minute
    )


@given(symbol=symbols, seed=seeds, minute=minutes, slot=st.sampled_from(SLOTS_ALLOWED))
def test_every_minute_bar_is_the_fold_of_its_trades(symbol, seed, minute, slot):
    source = a_source(symbol, seed, slot)
    bar = source.minute_bars(symbol, minute, minute)
    trades = source.trades(symbol, minute)
    before = int(source.minute_bars(symbol, minute - 1, minute - 1).close[0])
    prices = np.concatenate([[before], trades.ticks])

    assert [int(bar.open[0]), int(bar.close[0])] == [before, int(prices[-1])]
    assert [int(bar.high[0]), int(bar.low[0])] == [int(prices.max()), int(prices.min())]
    assert int(bar.volume[0]) == int(trades.steps.sum())
    assert int(bar.turnover[0]) == int(np.dot(trades.ticks, trades.steps))
    assert np.all(trades.steps > 0)
    assert np.all(trades.ticks > 0)
    assert np.all(np.diff(trades.at_ms) >= 0)
    assert len(set(trades.trade_ids)) == trades.at_ms.size


@given(symbol=symbols, seed=seeds, minute=minutes, back=st.integers(0, 3_000), part_ms=st.integers(0, MINUTE_MS - 1))
def test_trades_in_pieces_are_the_trades_in_one_piece(symbol, seed, minute, back, part_ms):
    market = Market(a_source(symbol, seed))
    start_ms, end_ms = minute * MINUTE_MS, (minute + 2) * MINUTE_MS + part_ms
    middle_ms = start_ms + (end_ms - start_ms) * back // 3_001

    def ids(after_ms, until_ms):
        return [i for part in market.trades_between(symbol, after_ms, until_ms) for i in part.trade_ids]

    assert ids(start_ms, middle_ms) + ids(middle_ms, end_ms) == ids(start_ms, end_ms)


@given(seed=seeds, minute=minutes, interval=st.sampled_from(list(INTERVAL_MINUTES)), length=st.integers(0, 2_000))
def test_every_interval_is_the_roll_up_of_the_minutes(seed, minute, interval, length):
    first, last = interval_start(minute, interval), minute + length
    # Turnover is not looked at here, and folding it would draw every minute.
    market = Market(a_source("SEIUSDT", seed, exact_from_minute=last + 1))
    now_ms = last * MINUTE_MS + 30_000
    ones = market.quick_bars("SEIUSDT", first, last)

    bars = market.klines("SEIUSDT", interval, first, last, now_ms)

    expected = rolled_up(ones, interval)
    assert bars.start_minute.tolist() == expected.start_minute.tolist()
    assert bars.open.tolist() == expected.open.tolist()
    assert bars.close.tolist()[:-1] == expected.close.tolist()[:-1]
    assert bars.volume.tolist()[:-1] == expected.volume.tolist()[:-1]
