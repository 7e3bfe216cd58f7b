"""A stop that trails in the engine: it follows the stored candles, across restarts, and a correction moves it for all that follow."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from shared.deciding.active import active_strategy
from shared.domain.events import SignalClosed, SignalOpened
from shared.domain.signals import ExitReason
from shared.domain.timeframe import MINUTE_MS
from tests.support.engine_market import START_MS, Bench, a_candle, closed, corrected

ENTRY = 198.81


@pytest.fixture
async def held():
    """A bench whose long signal has just opened at 198.81 with a stop 0.3 % behind the best price, its engine, the candle."""
    bench = Bench(strategies=[active_strategy("rsi_divergence", parameters={"trailing": True})])
    engine = bench.engine()
    falling = [
        a_candle(START_MS + i * MINUTE_MS, round(200 - i * 0.01, 2), volume=Decimal(10 if i == 119 else 1))
        for i in range(120)
    ]
    await bench.run(engine, [closed(candle) for candle in falling])
    [event] = await bench.published()
    assert isinstance(event, SignalOpened)
    assert (event.signal.entry_price, event.signal.trail_pct) == (ENTRY, 0.3)
    return bench, engine, falling[-1]


def after(candle, open_price, high, low, close):
    return a_candle(candle.close_time_ms, close, open=open_price, high=high, low=low)


async def correct(bench, engine, candle, **changes):
    again = replace(candle, revision=candle.revision + 1, **changes)
    await bench.candles.save([again], fence=None)
    await engine.handle_candles([corrected(again)])
    return again, [event.note for event in await bench.published()]


async def test_the_stop_of_a_restarted_engine_follows_the_best_stored_price(held):
    bench, engine, entry = held
    rise = after(entry, 198.9, 199.5, 198.8, 199.2)
    await bench.run(engine, [closed(rise)])
    await bench.run(bench.engine(), [closed(after(rise, 199.2, 199.2, 198.0, 198.5))])
    [event] = await bench.published()
    assert isinstance(event, SignalClosed)
    assert event.signal.exit.reason is ExitReason.STOP_LOSS
    assert event.signal.exit.price == pytest.approx(199.5 * 0.997)


async def test_a_correction_of_an_earlier_candle_moves_the_stop_of_the_later_ones(held):
    bench, engine, entry = held
    rise = after(entry, 198.9, 199.5, 198.8, 199.2)
    calm = after(rise, 199.2, 199.3, 198.95, 199.1)
    await bench.run(engine, [closed(rise), closed(calm)])

    higher, [note] = await correct(bench, engine, rise, high=200.5)
    assert "the signal would have ended at" in note
    assert note.endswith("at 199.2 (sl).")  # the stop would have been above the next open

    _, notes = await correct(bench, engine, higher, high=199.5)
    assert notes == []  # as it was

    fall = after(calm, 199.1, 199.1, 198.0, 198.5)
    await bench.run(engine, [closed(fall)])
    [ended] = await bench.published()
    _, [note] = await correct(bench, engine, fall, low=199.0, close=199.0)
    assert "the signal would not have ended at 198.9" in note
    [record] = await bench.signals.all()
    assert record.signal.exit == ended.signal.exit
