"""Closed candles beside the venue's klines: marks, second looks, events with both values; within a budget."""

import msgspec
import pytest

from services.aggregator.core.audit_plan import AuditLimits, AuditPlan
from services.aggregator.core.coverage import SeriesKey
from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from shared.domain.candles import Candle
from shared.domain.errors import TransientError
from shared.domain.events import SystemEvent
from shared.domain.klines import Kline
from shared.domain.timeframe import MINUTE_MS, ROLL_UPS, Timeframe
from shared.exchanges.bybit.instruments import BYBIT_RULES
from shared.store.audits import AuditStore
from tests.support.aggregator import Bench
from tests.support.trades import EXCHANGE, Row, a_batch

START_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
MINUTES = 12
KEY = SeriesKey(EXCHANGE, "BTC")


class Venue:
    """Klines as the venue would give them from the same candles, under its rule; some are made wrong."""

    rules = msgspec.structs.replace(BYBIT_RULES, exchange=EXCHANGE)

    def __init__(self, candles: list[Candle], wrong: dict[int, dict[str, float]] | None = None) -> None:
        self.candles = candles
        self.wrong = wrong or {}
        self.asked = 0
        self.lacks: set[int] = set()
        self.roll_ups: dict[Timeframe, list[Candle]] = {}
        self.wrong_roll_ups: dict[int, dict[str, float]] = {}
        self.is_down = False

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        candles = self.candles if timeframe is Timeframe.M1 else self.roll_ups.get(timeframe, [])
        if not candles:
            return []
        if self.is_down:
            raise TransientError("down")
        self.asked += timeframe is Timeframe.M1
        closes = {candle.close_time_ms: candle.close for candle in self.candles}
        found = []
        for candle in candles:
            opened = closes.get(candle.open_time_ms, candle.open)
            kline = Kline(
                open_time_ms=candle.open_time_ms,
                open=opened,
                high=max(candle.high, opened),
                low=min(candle.low, opened),
                close=candle.close,
                volume=candle.volume,
                quote_volume=candle.quote_volume,
                trade_count=None,
            )
            if start_ms <= candle.open_time_ms < end_ms and candle.open_time_ms not in self.lacks:
                wrong = self.wrong if timeframe is Timeframe.M1 else self.wrong_roll_ups
                found.append(msgspec.structs.replace(kline, **wrong.get(candle.open_time_ms, {})))
        return found


async def a_bench(wrong: dict[int, dict[str, float]] | None = None) -> tuple[Bench, Aggregator, Venue]:
    rows = [
        Row("BTC", number, START_MS + number * 20_000 + 5_000, 100.0 + number % 7, 10 + number)
        for number in range(3 * MINUTES)
    ]
    venue = Venue([], wrong)
    bench = Bench(Limits(hole_timeout_ms=10**9), rest={EXCHANGE: venue})  # type: ignore[dict-item]  # a stand-in with the one method that is asked
    aggregator = Aggregator(
        store=bench.store,
        bus=bench.bus,
        limits=bench.limits,
        rest=bench.rest,
        audit_limits=AuditLimits(settle_ms=0, span_minutes=1, roll_up_span_minutes=1),
    )
    await aggregator.append(
        [a_batch(rows, covers_from_ms=START_MS, watermark_ms=START_MS + MINUTES * MINUTE_MS, symbols=("BTC",))]
    )
    await aggregator.close_minutes()
    await aggregator.repair(deadline_seconds=5)
    await aggregator.close_minutes()
    venue.candles = await bench.candles("BTC")
    venue.roll_ups = {timeframe: await bench.candles("BTC", timeframe) for timeframe in ROLL_UPS}
    return bench, aggregator, venue


async def marks_of(bench: Bench) -> dict[int, object]:
    return dict(await AuditStore(bench.store).between(*KEY, 0, 10**14))


async def told(bench: Bench) -> list[SystemEvent]:
    events = await bench.events("notifier--system-events")
    return [event for event in events if isinstance(event, SystemEvent) and event.kind == "candle_differs"]


async def test_equal_candles_are_marked_verified_once_and_nothing_is_announced():
    bench, aggregator, venue = await a_bench()
    await bench.events()

    await aggregator.audit()
    await aggregator.audit()

    marks = await marks_of(bench)
    assert len(marks) == len(venue.candles) == MINUTES
    assert all(mark.is_verified for mark in marks.values())
    assert venue.asked == 1
    assert await bench.events() == []
    assert [one.revision for one in await bench.candles("BTC")] == [1] * MINUTES


async def test_a_difference_that_stays_is_told_once_with_both_values():
    wrong_ms = START_MS + 4 * MINUTE_MS
    bench, aggregator, _ = await a_bench({wrong_ms: {"close": 93.0, "low": 93.0}})

    for _ in range(4):
        await aggregator.audit()
        await aggregator.close_minutes()

    [event] = await told(bench)
    assert "close" in event.text
    assert "93 the venue's" in event.text
    marks = await marks_of(bench)
    assert [time_ms for time_ms, mark in marks.items() if not mark.is_verified] == [wrong_ms]


async def test_a_new_revision_is_compared_again():
    bench, aggregator, venue = await a_bench()
    await aggregator.audit()
    late = Row("BTC", 900, START_MS + 2 * MINUTE_MS + 30_000, 150.0, 5)
    end_ms = START_MS + MINUTES * MINUTE_MS
    later = [a_batch([late], covers_from_ms=START_MS, watermark_ms=end_ms, session="later", symbols=("BTC",))]
    await aggregator.append(later)
    await aggregator.close_minutes()
    venue.candles = await bench.candles("BTC")
    venue.roll_ups = {timeframe: await bench.candles("BTC", timeframe) for timeframe in ROLL_UPS}

    await aggregator.audit()

    mark = (await marks_of(bench))[START_MS + 2 * MINUTE_MS]
    assert (mark.revision, mark.is_verified) == (2, True)


async def test_a_venue_that_does_not_answer_is_asked_again():
    bench, aggregator, venue = await a_bench()
    venue.is_down = True
    await aggregator.audit()
    assert not await marks_of(bench)

    venue.is_down = False
    await aggregator.audit()

    assert len(await marks_of(bench)) == MINUTES


async def test_a_candle_without_a_kline_is_asked_for_again_and_then_told():
    lacking_ms = START_MS + 3 * MINUTE_MS
    bench, aggregator, venue = await a_bench()
    venue.lacks = {lacking_ms}

    await aggregator.audit()
    await aggregator.audit()
    assert not await told(bench)
    assert lacking_ms not in await marks_of(bench)
    for _ in range(3):
        await aggregator.audit()

    [event] = await told(bench)
    assert "kline there ours, missing the venue's" in event.text
    marks = await marks_of(bench)
    assert [time_ms for time_ms, mark in marks.items() if not mark.is_verified] == [lacking_ms]
    assert len(marks) == MINUTES


async def test_a_kline_that_comes_late_verifies_the_candle():
    lacking_ms = START_MS + 3 * MINUTE_MS
    bench, aggregator, venue = await a_bench()
    venue.lacks = {lacking_ms}
    await aggregator.audit()

    venue.lacks = set()
    await aggregator.audit()

    assert (await marks_of(bench))[lacking_ms].is_verified
    assert not await told(bench)


async def test_a_minute_that_only_the_venue_has_is_told():
    lost_ms = START_MS + 6 * MINUTE_MS
    bench, aggregator, _ = await a_bench()
    await bench.store.delete("market-data-1m", [f"{EXCHANGE}#BTC#{lost_ms:015d}"])
    await bench.store.delete_range(
        "market-trades", f"{EXCHANGE}#BTC#{lost_ms:015d}", f"{EXCHANGE}#BTC#{lost_ms:015d}~", limit=9
    )

    for _ in range(3):
        await aggregator.audit()

    [event] = await told(bench)
    assert f"kline of {lost_ms}" in event.text


async def test_roll_ups_are_compared_too():
    bench, aggregator, venue = await a_bench()
    [wrong_ms, right_ms] = [one.open_time_ms for one in venue.roll_ups[Timeframe.M5]]
    venue.wrong_roll_ups = {wrong_ms: {"close": 93.0, "low": 93.0}}

    for _ in range(4):
        await aggregator.audit()
        await aggregator.close_minutes()

    marks = await AuditStore(bench.store).between(*KEY, 0, 10**14, timeframe=Timeframe.M5)
    assert {time_ms: mark.is_verified for time_ms, mark in marks.items()} == {wrong_ms: False, right_ms: True}
    [event] = await told(bench)
    assert "5m candle" in event.text
    assert len(await marks_of(bench)) == MINUTES


def test_a_round_asks_for_those_furthest_behind_within_its_budget():
    plan = AuditPlan(AuditLimits(settle_ms=MINUTE_MS, span_minutes=5, lookback_minutes=30, requests_max=3))
    hour_ms = 100 * 60 * MINUTE_MS
    closed = [
        (SeriesKey("x", f"S{number}"), hour_ms + number * MINUTE_MS, hour_ms + 99 * MINUTE_MS) for number in range(9)
    ]

    first = plan.next_ranges(closed)
    for wanted in first:
        plan.done(wanted)
    second = plan.next_ranges(closed)

    assert [wanted.key.symbol for wanted in first] == ["S0", "S1", "S2"]
    assert [wanted.key.symbol for wanted in second] == ["S3", "S4", "S5"]
    assert all(wanted.end_ms - wanted.start_ms == 30 * MINUTE_MS for wanted in first)


@pytest.mark.parametrize("minutes", [0, 4])
def test_too_few_minutes_are_not_worth_a_request(minutes):
    plan = AuditPlan(AuditLimits(settle_ms=0, span_minutes=5, lookback_minutes=minutes))
    assert plan.next_ranges([(KEY, START_MS, START_MS)]) == []
