import json

import numpy as np
import pytest

from services.simulator.core.bars import INTERVAL_MINUTES
from services.simulator.core.clock import MarketClock
from services.simulator.core.faults import FaultOrderError, Schedule, decode_order
from services.simulator.core.generated_source import GeneratedSource
from services.simulator.core.late_trades import make_late_trade
from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS, SEQUENCES_PER_MS, MinuteTrades

MINUTE = 20_777 * 1_440 + 600
NOW_MS = MINUTE * MINUTE_MS + 20_000


def a_market():
    source = GeneratedSource(
        ("BTCUSDT", "SEIUSDT"), seed=1, slot_minutes=30, first_minute=MINUTE - 50_000, exact_from_minute=MINUTE - 1_500
    )
    return Market(source)


def test_market_time_runs_with_the_speed_from_the_origin():
    clock = MarketClock(origin_wall_ms=1_000, origin_market_ms=5_000_000, speed=10)
    assert clock.market_ms(1_000) == 5_000_000
    assert clock.market_ms(2_500) == 5_015_000


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SEIUSDT"])
def test_a_late_trade_lies_in_a_closed_minute_and_changes_it(symbol):
    market = a_market()
    late = make_late_trade(symbol, NOW_MS, 90_000, market.trades_of, 0)
    before = {i: market.klines(symbol, i, late.minute, late.minute, NOW_MS) for i in INTERVAL_MINUTES}

    market.late.add(late)

    assert late.minute < MINUTE
    for interval in INTERVAL_MINUTES:
        after = market.klines(symbol, interval, late.minute, late.minute, NOW_MS)
        assert after.volume[0] == before[interval].volume[0] + late.steps
        assert after.turnover[0] == before[interval].turnover[0] + late.steps * late.ticks
        assert after.high[0] == max(before[interval].high[0], late.ticks)
        assert (after.open[0], after.close[0]) == (before[interval].open[0], before[interval].close[0])
    trades = market.trades_of(symbol, late.minute)
    assert late.trade_id in trades.trade_ids
    assert (trades.at_ms[1:] >= trades.at_ms[:-1]).all()
    assert late.trade_id in [part.trade_ids[row] for part, row in market.recent(symbol, NOW_MS, 1000)]


def test_many_late_trades_find_places_of_their_own():
    market = a_market()
    for ordinal in range(50):
        market.late.add(make_late_trade("BTCUSDT", NOW_MS, 90_000, market.trades_of, ordinal))
    trades = market.trades_of("BTCUSDT", MINUTE - 2)
    assert len(set(trades.trade_ids)) == trades.at_ms.size
    assert (trades.at_ms[1:] >= trades.at_ms[:-1]).all()


@pytest.mark.parametrize(
    "offsets_ms", [(500,), (500, 500), (500, 501), (500, 502), (500, 700, 900), (500, 500, 40_000)]
)
@pytest.mark.parametrize("delay_ms", [1, 61_000, 79_400, 79_999, 600_000])
def test_a_late_trade_is_never_the_first_or_last_of_its_minute(offsets_ms, delay_ms):
    times_ms = np.asarray(offsets_ms) + (MINUTE - 1) * MINUTE_MS
    sizes = np.ones(len(offsets_ms), dtype=np.int64)

    def trades_of(_, minute):
        rows = slice(None) if minute == MINUTE - 1 else slice(0)
        return MinuteTrades(
            minute=minute, at_ms=times_ms[rows], ticks=sizes[rows], steps=sizes[rows], is_buy=sizes[rows] > 0,
            direction=sizes[rows], sequence=times_ms[rows] * SEQUENCES_PER_MS, trade_ids=[str(row) for row in range(len(offsets_ms))][rows],
        )  # fmt: skip

    late = make_late_trade("SEIUSDT", NOW_MS, delay_ms, trades_of, 0)

    room = times_ms[-1] - times_ms[0] >= 2 and (NOW_MS - delay_ms) // MINUTE_MS >= MINUTE - 1
    assert (late is not None) == room
    if late is not None:
        assert times_ms[0] < late.at_ms < times_ms[-1]


def test_the_schedule_is_the_same_in_one_piece_and_in_many():
    schedule = Schedule(seed=3, fault="late_trade", every_ms=7_000, symbols=("A", "B"))
    whole = schedule.between(1_000_000, 1_100_000)

    pieces = [
        due
        for start in range(1_000_000, 1_100_000, 777)
        for due in schedule.between(start, min(start + 777, 1_100_000))
    ]

    assert pieces == whole
    assert 12 <= len(whole) <= 17
    assert {order.symbol for _, order in whole} == {"A", "B"}


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"fault": "explode"}, "Invalid enum value"),
        ({"fault": "cut", "secnods": 3}, "secnods"),
        ({"fault": "cut", "seconds": -1}, "seconds must be"),
        ({"fault": "late_trade", "count": 0}, "count must be"),
        ({"fault": "late_trade", "symbol": "NOPE"}, "symbol must be one of"),
    ],
)
def test_a_fault_order_that_does_not_hold_is_refused_with_the_reason(order, complaint):
    with pytest.raises(FaultOrderError, match=complaint):
        decode_order(json.dumps(order).encode(), frozenset({"BTCUSDT"}))
