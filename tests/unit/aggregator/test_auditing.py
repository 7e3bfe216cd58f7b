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
from shared.domain.timeframe import MINUTE_MS, Timeframe
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
        self.is_down = False

    async def klines(self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[Kline]:
        if timeframe is not Timeframe.M1 or not self.candles:
            return []
        if self.is_down:
            raise TransientError("down")
        self.asked += 1
        found, before = [], None
        for candle in self.candles:
            opened = before if before is not None else candle.open
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
            before = candle.close
            if start_ms <= candle.open_time_ms < end_ms:
                found.append(msgspec.structs.replace(kline, **self.wrong.get(candle.open_time_ms, {})))
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
        audit_limits=AuditLimits(settle_ms=0, span_minutes=1),
    )
    await aggregator.append(
        [a_batch(rows, covers_from_ms=START_MS, watermark_ms=START_MS + MINUTES * MINUTE_MS, symbols=("BTC",))]
    )
    await aggregator.close_minutes()
    await aggregator.repair(deadline_seconds=5)
    await aggregator.close_minutes()
    venue.candles = await bench.candles("BTC")
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
