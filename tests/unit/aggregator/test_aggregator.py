"""What the aggregator does with late trades, conflicts, holes, silence and owners."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from shared.domain.candles import CandleQuality, Vouched
from shared.domain.errors import FencedError, TransientError
from shared.domain.events import CandleCorrected, CandlesClosed, SystemEvent
from shared.domain.instruments import Instrument
from shared.domain.timeframe import MINUTE_MS, ROLL_UPS, Timeframe
from shared.domain.trades import TradeSource
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.venue import Kline, VenueRules
from shared.runtime.clock import ScaledClock
from tests.property.test_aggregator_candles import Killed, crash_points
from tests.support.aggregator import PATIENT, Bench, told
from tests.support.trades import EXCHANGE, START_MS, Row, a_batch

M = MINUTE_MS
SUBSCRIPTION = "aggregator--raw-tick-data-bybit"


class KlineServer:
    """A venue that answers from a list of minutes, or not at all. kline i of minute i closes at 500 + i."""

    rules = VenueRules(
        exchange=EXCHANGE,
        topic="raw-tick-data-bybit",
        kline_opens_at_previous_close=True,
        ids_are_consecutive=False,
        recent_trades_max=1000,
        klines_max=1000,
    )

    def __init__(self, first_minute_ms: int, end_ms: int) -> None:
        self.first_minute_ms = first_minute_ms
        self.end_ms = end_ms
        self.down = False
        self.down_from: Timeframe | None = None
        self.calls: list[tuple[str, Timeframe, int, int]] = []

    async def instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        return {}

    async def recent_trades(self, symbol: str) -> list[VenueTrade]:
        return []

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        self.calls.append((symbol, timeframe, start_ms, end_ms))
        if self.down or timeframe is self.down_from:
            raise TransientError("no answer from the venue")
        step = timeframe.duration_ms
        first = max(start_ms, -(-self.first_minute_ms // step) * step)
        return [a_kline(time_ms) for time_ms in range(first, min(end_ms, self.end_ms - step + 1), step)]

    async def server_time_ms(self) -> int:
        return self.end_ms

    async def close(self) -> None:
        return


def a_kline(open_time_ms: int) -> Kline:
    price = 500.0 + (open_time_ms - START_MS) // M % 100
    return Kline(
        open_time_ms=open_time_ms,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price,
        volume=Decimal(3),
        quote_volume=Decimal(1500),
        trade_count=None,
    )


def aaa(trade_id: int | str, at_ms: int, price: float, quantity: int = 100) -> Row:
    return Row("AAA", trade_id, START_MS + at_ms, price, quantity)


async def test_the_watermark_closes_the_minute_not_the_next_trade():
    bench = Bench()
    aggregator = bench.aggregator()
    await aggregator.append([a_batch([aaa(1, 0, 101.0), aaa(2, M, 99.0)], watermark_ms=START_MS + M - 1)])
    await aggregator.close_minutes()
    assert await bench.candles("AAA") == []

    await aggregator.append([a_batch(sequence=1, watermark_ms=START_MS + M)])
    await aggregator.close_minutes()

    [candle] = await bench.candles("AAA")
    assert (candle.close, candle.trade_count, candle.quality) == (101.0, 1, CandleQuality.COMPLETE)
    [event] = await bench.events()
    assert isinstance(event, CandlesClosed)
    assert event.candles == (candle,)


async def test_all_symbols_of_a_minute_close_together_and_silence_is_flat():
    bench = Bench()
    aggregator = bench.aggregator()
    rows = [aaa(1, 0, 101.0), Row("BBB", 1, START_MS + 5, 7.0, 1), Row("BBB", 2, START_MS + M, 8.0, 1)]
    await aggregator.append([a_batch(rows, watermark_ms=START_MS + 2 * M)])
    await aggregator.close_minutes()

    first, flat = await bench.candles("AAA")
    assert (flat.open, flat.high, flat.low, flat.close) == (101.0,) * 4
    assert (flat.volume, flat.trade_count, flat.quality) == (Decimal(0), 0, CandleQuality.COMPLETE)
    assert [(event.symbol, event.close_time_ms) for event in await bench.events()] == [
        ("AAA", first.close_time_ms),
        ("BBB", first.close_time_ms),
        ("AAA", flat.close_time_ms),
        ("BBB", flat.close_time_ms),
    ]
    assert await bench.marks() == {}


async def test_a_late_trade_corrects_the_minute_the_flat_ones_behind_it_and_the_roll_up():
    bench = Bench()
    aggregator = bench.aggregator()
    five_ms = Timeframe.M5.open_time_ms(START_MS) + 5 * M - START_MS  # offset of the next five-minute candle
    rows = [aaa(1, five_ms, 100.0), aaa(2, five_ms + 3 * M, 105.0)]
    await aggregator.append([a_batch(rows, watermark_ms=START_MS + five_ms + 5 * M)])
    await aggregator.close_minutes()
    await bench.events()

    await aggregator.append([a_batch([aaa(3, five_ms + M, 90.0)], sequence=1, watermark_ms=START_MS + five_ms + 5 * M)])
    await aggregator.close_minutes()

    minutes = await bench.candles("AAA")
    assert [candle.close for candle in minutes] == [100.0, 90.0, 90.0, 105.0, 105.0]
    assert [candle.revision for candle in minutes] == [1, 2, 2, 1, 1]
    [five] = await bench.candles("AAA", Timeframe.M5)
    assert (five.low, five.trade_count, five.revision) == (90.0, 3, 2)
    events = await bench.events()
    assert all(isinstance(event, CandleCorrected) for event in events)
    assert [[candle.open_time_ms for candle in event.candles] for event in events] == [
        [minutes[1].open_time_ms],
        [minutes[2].open_time_ms, five.open_time_ms],
    ]
    assert await bench.marks() == {}


async def test_a_repeated_batch_changes_and_announces_nothing():
    bench = Bench()
    aggregator = bench.aggregator()
    batch = a_batch([aaa(1, 0, 101.0)], watermark_ms=START_MS + M)
    for _ in range(3):
        await aggregator.append([batch, batch])
        await aggregator.close_minutes()
    restarted = bench.aggregator()
    await restarted.append([batch])
    await restarted.close_minutes()
    assert len(await bench.events()) == 1
    assert (await bench.candles("AAA"))[0].revision == 1


@pytest.mark.parametrize("text_ids", [False, True])
@pytest.mark.parametrize("other_minute", [False, True])
async def test_of_two_contents_of_one_id_the_earlier_session_wins_whenever_it_arrives(text_ids, other_minute):
    bench = Bench()
    aggregator = bench.aggregator()
    trade_id = "x" if text_ids else 1
    anchor = aaa("a" if text_ids else 0, 0, 50.0)
    second = a_batch([anchor, aaa(trade_id, 10, 200.0)], session="s2", watermark_ms=START_MS + 2 * M)
    await aggregator.append([second])
    await aggregator.close_minutes()
    earlier = aaa(trade_id, M + 10 if other_minute else 10, 100.0)
    first = a_batch([earlier], session="s1", started_at_ms=START_MS - 1, watermark_ms=START_MS + 2 * M)

    for batch in (first, first, second):
        await aggregator.append([batch])
        await aggregator.close_minutes()
    await bench.aggregator().close_minutes()

    one, two = await bench.candles("AAA")
    assert (one.high, one.trade_count, two.close) == ((50.0, 1, 100.0) if other_minute else (100.0, 2, 100.0))
    [dead] = await bench.bus.dead_letters(SUBSCRIPTION)
    assert "symbol=AAA" in dead.reason
    assert f"trade_id={trade_id}" in dead.reason
    assert "200.0" in dead.reason
    assert "100.0" in dead.reason
    kinds = [event.kind for event in await bench.events("notifier--system-events") if isinstance(event, SystemEvent)]
    assert kinds == ["trade_conflict"]


async def test_trades_far_from_the_feeds_own_clock_are_refused_and_the_rest_goes_on():
    bench = Bench()
    aggregator = bench.aggregator()
    rows = [aaa(1, 0, 101.0), aaa(2, 3 * 3_600_000, 1.0), Row("BBB", 3, START_MS - 30 * 86_400_000, 2.0, 1)]
    await aggregator.append([a_batch(rows, watermark_ms=START_MS + M)])
    await aggregator.close_minutes()
    assert [candle.close for candle in await bench.candles("AAA")] == [101.0]
    reasons = [dead.reason for dead in await bench.bus.dead_letters(SUBSCRIPTION)]
    assert len(reasons) == 2
    assert "symbol=BBB trade_id=3" in reasons[1] or "symbol=BBB trade_id=3" in reasons[0]


async def test_a_hole_closes_with_the_venues_kline_and_with_refilled_trades_later():
    rest = KlineServer(START_MS - 400 * M, START_MS + 100 * M)
    bench = Bench(Limits(hole_timeout_ms=10_000, backfill_candles=5), {EXCHANGE: rest})
    aggregator = bench.aggregator()
    # The session starts in the middle of a minute: history comes as klines, this minute is a hole.
    await aggregator.append([a_batch([aaa(1, 40_000, 101.0)], covers_from_ms=START_MS + 30_000, watermark_ms=START_MS)])
    await aggregator.close_minutes()
    assert aggregator.repair_is_wanted
    await aggregator.repair(deadline_seconds=5)
    history = await bench.candles("AAA")
    assert [candle.open_time_ms for candle in history] == [START_MS - n * M for n in (5, 4, 3, 2, 1)]
    assert len(await bench.candles("AAA", Timeframe.H1)) == 5
    assert await bench.events() == []

    await aggregator.append([a_batch(sequence=1, covers_from_ms=START_MS + 30_000, watermark_ms=START_MS + M + 9_999)])
    await aggregator.close_minutes()
    assert len(await bench.candles("AAA")) == 5
    assert aggregator.repair_is_wanted
    await aggregator.repair(deadline_seconds=5)
    await aggregator.append([a_batch(sequence=2, covers_from_ms=START_MS + 30_000, watermark_ms=START_MS + M + 10_000)])
    await aggregator.close_minutes()

    hole = (await bench.candles("AAA"))[-1]
    assert (hole.quality, hole.close, hole.trade_count) == (CandleQuality.REPAIRED_KLINE, 500.0, None)
    refill = a_batch(
        [aaa(0, 10_000, 99.0), aaa(1, 40_000, 101.0)],
        session="r1",
        source=TradeSource.REFILL,
        symbols=("AAA",),
        watermark_ms=START_MS + 35_000,
    )
    await aggregator.append([refill])
    await aggregator.close_minutes()
    repaired = (await bench.candles("AAA"))[-1]
    assert (repaired.quality, repaired.open, repaired.close) == (CandleQuality.REPAIRED, 99.0, 101.0)
    assert (repaired.trade_count, repaired.revision) == (2, 2)
    events = [event for event in await bench.events() if event.symbol == "AAA"]
    assert [type(event).__name__ for event in events] == ["CandlesClosed", "CandleCorrected"]


async def test_without_the_venue_a_hole_closes_partial_and_stays_a_work_item_across_a_restart():
    rest = KlineServer(START_MS - 400 * M, START_MS + 100 * M)
    rest.down = True
    bench = Bench(Limits(hole_timeout_ms=10_000, backfill_candles=5), {EXCHANGE: rest})
    aggregator = bench.aggregator()
    batch = a_batch(
        [aaa(1, 40_000, 101.0)], covers_from_ms=START_MS + 30_000, watermark_ms=START_MS + 2 * M, symbols=("AAA",)
    )
    await aggregator.append([batch])
    for _ in range(2):
        await aggregator.close_minutes()
        await aggregator.repair(deadline_seconds=5)
    await aggregator.close_minutes()

    assert [candle.quality.value for candle in await bench.candles("AAA")] == ["partial", "complete"]
    kinds = [event.kind for event in await bench.events("notifier--system-events") if isinstance(event, SystemEvent)]
    assert kinds == ["candle_partial"]
    assert len(await bench.marks()) == 1

    rest.down = False
    aggregator = bench.aggregator()
    await aggregator.close_minutes()
    await aggregator.repair(deadline_seconds=5, again=True)
    await aggregator.close_minutes()

    first = (await bench.candles("AAA"))[-2]
    assert (first.quality, first.close, first.revision) == (CandleQuality.REPAIRED_KLINE, 500.0, 2)
    assert await bench.marks() == {}


async def test_a_slow_venue_blocks_no_longer_than_the_deadline():
    class Asleep(KlineServer):
        async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
            import asyncio

            await asyncio.sleep(30)
            return []

    bench = Bench(Limits(hole_timeout_ms=1_000), {EXCHANGE: Asleep(0, 0)})
    aggregator = bench.aggregator()
    await aggregator.append([a_batch([aaa(1, 1, 9.0)], watermark_ms=START_MS + M, symbols=("AAA",))])
    await aggregator.close_minutes()
    assert await bench.candles("AAA") == []
    await aggregator.repair(deadline_seconds=0.05)
    await aggregator.close_minutes()
    assert [candle.quality for candle in await bench.candles("AAA")] == [CandleQuality.COMPLETE]


async def test_after_an_absence_the_uncovered_minutes_come_from_klines_in_one_call():
    rest = KlineServer(START_MS - 400 * M, START_MS + 1000 * M)
    bench = Bench(Limits(backfill_candles=5), {EXCHANGE: rest})
    aggregator = bench.aggregator()
    await aggregator.append([a_batch(watermark_ms=START_MS, symbols=("AAA",))])
    await aggregator.close_minutes()
    await aggregator.repair(deadline_seconds=5)
    rest.calls.clear()
    again = a_batch(
        [aaa(1, 90 * M, 101.0)],
        session="s2",
        covers_from_ms=START_MS + 90 * M,
        watermark_ms=START_MS + 91 * M,
        symbols=("AAA",),
    )
    aggregator = bench.aggregator()
    await aggregator.append([again])
    await aggregator.close_minutes()
    await aggregator.repair(deadline_seconds=5)
    await aggregator.close_minutes()

    candles = (await bench.candles("AAA"))[5:]
    assert [candle.quality.value for candle in candles] == ["repaired_kline"] * 90 + ["complete"]
    assert [call[1] for call in rest.calls].count(Timeframe.M1) == 1
    assert len(await bench.candles("AAA", Timeframe.H1)) >= 6


async def test_minutes_come_first_and_a_history_cut_short_goes_on_where_it_stopped():
    rest = KlineServer(START_MS - 40 * 7 * 24 * 60 * M, START_MS + 1000 * M)
    bench = Bench(Limits(backfill_candles=5), {EXCHANGE: rest})
    aggregator = bench.aggregator()
    await aggregator.append([a_batch(watermark_ms=START_MS, symbols=("AAA",))])
    await aggregator.close_minutes()
    rest.down_from = Timeframe.H4
    await aggregator.repair(deadline_seconds=5)

    assert len(await bench.candles("AAA")) == 5
    assert len(await bench.candles("AAA", Timeframe.H1)) == 5
    assert await bench.candles("AAA", Timeframe.H4) == []
    assert not aggregator.repair_is_wanted
    assert aggregator.history_is_wanted

    rest.down_from = None
    rest.calls.clear()
    killed_and_started = bench.aggregator()
    await killed_and_started.append([a_batch(sequence=1, watermark_ms=START_MS + 1, symbols=("AAA",))])
    await killed_and_started.close_minutes()
    await killed_and_started.repair(deadline_seconds=5)

    assert not killed_and_started.history_is_wanted
    assert [len(await bench.candles("AAA", timeframe)) for timeframe in ROLL_UPS] == [5] * len(ROLL_UPS)


async def test_a_stale_owner_is_refused_and_the_new_one_misses_nothing():
    bench = Bench(PATIENT)
    old, new = bench.aggregator(fence=1), bench.aggregator(fence=2)
    first = a_batch([aaa(1, 0, 101.0)], watermark_ms=START_MS + 1)
    second = a_batch([aaa(2, 5, 102.0)], sequence=1, watermark_ms=START_MS + 2)
    third = a_batch([aaa(3, 9, 103.0)], sequence=2, watermark_ms=START_MS + M)
    await old.append([first])
    await new.close_minutes()
    await old.append([second])  # the lease had moved, but this owner did not know yet
    await new.append([third])
    with pytest.raises(FencedError):
        await old.append([a_batch(sequence=3, watermark_ms=START_MS + 2 * M)])
    await new.recover()
    await new.close_minutes()
    [candle] = await bench.candles("AAA")
    assert (candle.trade_count, candle.quality) == (3, CandleQuality.COMPLETE)


async def test_what_a_former_owner_appended_late_is_found_and_folded():
    bench = Bench(PATIENT)
    old, new = bench.aggregator(fence=1), bench.aggregator(fence=2)
    await old.append([a_batch([aaa(1, 0, 101.0)], watermark_ms=START_MS + M)])
    await new.close_minutes()
    assert not await new.look_for_strangers()

    late = a_batch([aaa(2, 5, 150.0)], session="ended", watermark_ms=START_MS + M)
    await old.append([late])  # held back by a broker that stood still, until after the new owner had read everything
    await new.close_minutes()
    assert [candle.trade_count for candle in await bench.candles("AAA")] == [1]

    assert await new.look_for_strangers()
    await new.close_minutes()
    [candle] = await bench.candles("AAA")
    assert (candle.trade_count, candle.high, candle.revision) == (2, 150.0, 2)
    assert not await new.look_for_strangers()


async def test_a_candle_says_which_sessions_vouch_for_which_part_of_it():
    bench = Bench(PATIENT)
    aggregator = bench.aggregator()
    refill = a_batch(
        [aaa(1, 5, 101.0)],
        session="refill",
        source=TradeSource.REFILL,
        watermark_ms=START_MS + 20_000,
        symbols=("AAA",),
    )
    stream = a_batch([aaa(2, 30_000, 102.0)], covers_from_ms=START_MS + 20_000, watermark_ms=START_MS + 2 * M)
    await aggregator.append([refill, stream])
    await aggregator.close_minutes()
    [candle, flat] = await bench.candles("AAA")
    assert candle.vouched_by == (Vouched("refill", 0, 20_000), Vouched("s1", 20_000, 60_000))
    assert flat.vouched_by == (Vouched("s1", 0, 60_000),)

    again = a_batch(session="later", watermark_ms=START_MS + M, symbols=("AAA",))
    await aggregator.append([again])
    await aggregator.close_minutes()
    [candle, _] = await bench.candles("AAA")
    assert (candle.quality, candle.revision) == (CandleQuality.COMPLETE, 2)
    assert candle.vouched_by[0] == Vouched("later", 0, 60_000)


async def test_the_end_of_a_replay_closes_everything_and_the_uncovered_as_partial():
    bench = Bench(Limits(hole_timeout_ms=0))
    aggregator = bench.aggregator()
    rows = [aaa(1, 5, 101.0), Row("BBB", 1, START_MS + 2 * M, 7.0, 1)]
    await aggregator.append([a_batch(rows, covers_from_ms=START_MS + M, watermark_ms=START_MS + 2 * M)])
    await aggregator.finish(START_MS + 2 * M + 17)
    assert [candle.quality.value for candle in await bench.candles("AAA")] == ["partial", "complete", "partial"]
    assert [candle.open_time_ms for candle in await bench.candles("BBB")] == [START_MS + 2 * M]


async def test_the_status_says_how_it_is():
    bench = Bench()
    aggregator = bench.aggregator()
    await aggregator.append([a_batch([aaa(1, 0, 101.0), aaa(2, M, 1.0)], watermark_ms=START_MS + M)])
    await aggregator.close_minutes()
    status = aggregator.status(now_market_ms=START_MS + M + 400)
    assert status["watermark_age_ms"] == 400
    fast = ScaledClock(speed=20.0)
    shown = aggregator.status(now_market_ms=START_MS + M + 400, wall_seconds=fast.wall_seconds)
    assert (shown["watermark_age_ms"], shown["watermark_ages_ms"][f"{EXCHANGE} AAA"]) == (20, 20)
    assert (status["open_minutes"], status["closed"], status["last_close_ms"]) == (1, 1, START_MS + M)


async def test_a_kill_between_storing_and_telling_a_correction_loses_no_flat_minute_behind_it():
    bench = Bench()
    aggregator = bench.aggregator()
    await aggregator.append([a_batch([aaa(1, 0, 100.0)], watermark_ms=START_MS + 3 * M)])
    await aggregator.close_minutes()
    await bench.events()
    await aggregator.append([a_batch([aaa(2, 5, 90.0)], sequence=1, watermark_ms=START_MS + 3 * M)])

    def kill(name: str) -> None:
        if name == "aggregator.stored":
            raise Killed

    with crash_points(kill), pytest.raises(Killed):
        await aggregator.close_minutes()
    await bench.aggregator().close_minutes()

    known = told(await bench.events())
    for candle in await bench.candles("AAA"):
        assert (candle.close, candle.revision) == (90.0, 2)
        assert known["AAA", candle.timeframe, candle.open_time_ms] == candle
    assert await bench.marks() == {}


@pytest.mark.parametrize("trade_id", [1, "x"])
async def test_of_three_minutes_with_one_id_only_the_earliest_arrival_counts(trade_id):
    bench = Bench()
    aggregator = bench.aggregator()
    anchor = aaa(0 if trade_id == 1 else "a", 0, 50.0)
    for session, age, minute in (("c", 1, 1), ("a", 3, 2), ("b", 2, 3)):
        rows = [aaa(trade_id, minute * M, 100.0 + minute), *([anchor] if session == "c" else [])]
        batch = a_batch(rows, session=session, started_at_ms=START_MS - age, watermark_ms=START_MS + 4 * M)
        await aggregator.append([batch])
        await aggregator.close_minutes()
    assert [candle.trade_count for candle in await bench.candles("AAA")] == [1, 0, 1, 0]


@pytest.mark.parametrize("trade_id", [1, "x"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("restart", [False, True])
async def test_an_id_twice_in_one_batch_across_a_minute_counts_in_the_earlier_one(trade_id, backwards, restart):
    bench = Bench()
    aggregator = bench.aggregator()
    anchor = aaa(0 if trade_id == 1 else "a", 0, 50.0)
    rows = [aaa(trade_id, M - 5, 100.0), aaa(trade_id, M + 5, 200.0)]
    batch = a_batch([anchor, *(reversed(rows) if backwards else rows)], watermark_ms=START_MS + M)
    for _ in range(2):
        await aggregator.append([batch])
        if restart:
            aggregator = bench.aggregator()
        await aggregator.close_minutes()
    await aggregator.append([a_batch(sequence=1, watermark_ms=START_MS + 2 * M)])
    await aggregator.close_minutes()

    # A correction reads both minutes from the tape again.
    await aggregator.append([a_batch([aaa(7 if trade_id == 1 else "y", M + 9, 60.0)], session="s9", sequence=0)])
    await aggregator.close_minutes()

    assert [(one.close, one.trade_count) for one in await bench.candles("AAA")] == [(100.0, 2), (60.0, 1)]
    [dead] = await bench.bus.dead_letters(SUBSCRIPTION)
    assert f"trade_id={trade_id}" in dead.reason


@pytest.mark.parametrize("trade_id", [1, "x"])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("in_time", [0, 1, 2])
async def test_late_copies_of_an_id_count_once_however_old_their_minutes_are(trade_id, restart, in_time):
    """`in_time` of the copies come while their minutes are open, the others forty minutes later."""
    bench = Bench()
    aggregator = bench.aggregator()
    anchor = aaa(0 if trade_id == 1 else "a", 0, 50.0)
    copies = [aaa(trade_id, 3 * M, 100.0), aaa(trade_id, 12 * M, 200.0)]
    batches = [a_batch([anchor, *copies[:in_time]], watermark_ms=START_MS + M)]
    batches.append(
        a_batch([aaa(8 if trade_id == 1 else "z", 41 * M, 50.0)], sequence=1, watermark_ms=START_MS + 42 * M)
    )
    late = [a_batch([copy], sequence=2 + n, watermark_ms=START_MS + 42 * M) for n, copy in enumerate(copies[in_time:])]
    for batch in [*batches, *late]:
        await aggregator.append([batch])
        if restart:
            aggregator = bench.aggregator()
        await aggregator.close_minutes()

    candles = await bench.candles("AAA")
    assert sum(one.trade_count for one in candles) == 3
    assert (candles[3].trade_count, candles[12].trade_count) == (1, 0)
    assert len(await bench.bus.dead_letters(SUBSCRIPTION)) == 1


async def test_refused_trades_become_dead_letters_of_the_subscription_in_use():
    bench = Bench()
    other = "logic-engine--candles-closed"  # any other that is declared
    aggregator = Aggregator(store=bench.store, bus=bench.bus, limits=PATIENT, subscription=other)
    rows = [aaa(1, 0, 101.0), aaa(2, 3 * 3_600_000, 1.0), aaa(1, 1, 102.0)]
    await aggregator.append([a_batch(rows, watermark_ms=START_MS + M)])
    await aggregator.append([a_batch([aaa(1, M, 7.0)], sequence=1, watermark_ms=START_MS + M)])
    await aggregator.close_minutes()
    assert len(await bench.bus.dead_letters(other)) == 2
    assert await bench.bus.dead_letters(SUBSCRIPTION) == []
