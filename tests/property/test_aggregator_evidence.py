"""Late trades, holes, refills, conflicting ids: in the end a candle says what all evidence together says."""

import asyncio
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.core.limits import Limits
from shared.domain.candles import CandleQuality
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.domain.trades import TradeBatch, TradeSource
from tests.property.test_aggregator_candles import run
from tests.support.aggregator import Bench, figures, told, twin_minutes, twin_rolled_up
from tests.support.trades import START_MS, Row, a_batch

MINUTES = 7
IMPATIENT = Limits(hole_timeout_ms=0, identity_minutes=30, close_chunk=4, correct_chunk=2)


class Case(NamedTuple):
    """What was delivered, in which lists."""

    batches: list[TradeBatch]
    lists: list[list[TradeBatch]]


times = st.integers(0, MINUTES * MINUTE_MS - 1).map(lambda offset: START_MS + offset)


@st.composite
def evidence(draw: st.DrawFn) -> Case:
    """Sessions that start late, end early, deliver late and, sometimes, say different things under one id, in one batch too."""
    id_count = draw(st.integers(1, 12))
    as_text = draw(st.booleans())
    batches: list[TradeBatch] = []
    # A candle once told is not taken back: with a trade nobody disputes in the first minute, none has to be.
    anchor = Row("AAA", "anchor" if as_text else 99, START_MS + 1, 100.0, 7, True, 50)
    for number in range(draw(st.integers(1, 3))):
        covers_from_ms = draw(times)
        source = draw(st.sampled_from(list(TradeSource)))
        for sequence in range(draw(st.integers(1, 4))):
            ids = draw(st.lists(st.integers(0, id_count - 1), max_size=5))
            rows = [
                Row(
                    "AAA",
                    f"id{trade_id}" if as_text else trade_id,
                    draw(times) if draw(st.integers(0, 4)) == 0 else START_MS + trade_id * 29_000,
                    90.0 + trade_id if draw(st.integers(0, 4)) else 200.0,
                    100 + trade_id,
                    True,
                    trade_id,
                )
                for trade_id in ids
            ]
            rows += [anchor] if not batches else []
            watermark_ms = draw(times)
            batches.append(
                a_batch(
                    rows,
                    sequence=sequence,
                    session=f"s{number}",
                    started_at_ms=START_MS - number * 1_000,
                    covers_from_ms=covers_from_ms,
                    watermark_ms=watermark_ms,
                    source=source,
                    symbols=("AAA",),
                )
            )
    order = draw(st.permutations(batches))
    if draw(st.booleans()):
        order = [*order, draw(st.sampled_from(batches))]
    return Case(batches, [[batch] for batch in order])


def counted_rows(batches: list[TradeBatch]) -> list[Row]:
    """Of each id the row of the lowest (session start, session, sequence), then of the earliest minute, then the first."""
    found: dict[object, Row] = {}
    for batch in sorted(batches, key=lambda batch: (batch.session_started_at_ms, batch.session, batch.sequence)):
        for trade in sorted(batch.rows(), key=lambda trade: trade.traded_at_ms // MINUTE_MS):
            row = Row(
                "AAA", trade.trade_id, trade.traded_at_ms, trade.price, trade.quantity_units, True, trade.tie_rank
            )
            found.setdefault(trade.trade_id, row)
    return list(found.values())


def twin_quality(batches: list[TradeBatch], minute: int) -> CandleQuality:
    """Second by second... millisecond bounds suffice: all instants at which some span starts or ends."""

    def covered(sources: set[TradeSource]) -> bool:
        spans = [(b.covers_from_ms, b.watermark_ms) for b in batches if b.source in sources]
        bounds = {minute, *(time for span in spans for time in span)}
        instants = [time for time in bounds if minute <= time < minute + MINUTE_MS]
        return all(any(start <= time < end for start, end in spans) for time in instants)

    if covered({TradeSource.STREAM}):
        return CandleQuality.COMPLETE
    return CandleQuality.REPAIRED if covered(set(TradeSource)) else CandleQuality.PARTIAL


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(case=evidence(), kills=st.sets(st.integers(1, 20), max_size=3), restart_each=st.booleans())
def test_all_evidence_together_decides(case, kills, restart_each):
    bench = Bench(IMPATIENT)
    asyncio.run(run(bench, case.lists, kills, restart_each=restart_each))
    asyncio.run(check(bench, case.batches))


async def check(bench: Bench, batches: list[TradeBatch]) -> None:
    watermark_ms = max(batch.watermark_ms for batch in batches)
    end_ms = watermark_ms - watermark_ms % MINUTE_MS
    minutes = twin_minutes(counted_rows(batches), "AAA", end_ms)
    candles = await bench.candles("AAA")
    assert [figures(candle) for candle in candles] == minutes
    for candle in candles:
        assert candle.quality is twin_quality(batches, candle.open_time_ms), candle
    fives = await bench.candles("AAA", Timeframe.M5)
    assert [figures(candle) for candle in fives] == twin_rolled_up(minutes, Timeframe.M5)
    for five in fives:
        inside = [candle for candle in candles if five.open_time_ms <= candle.open_time_ms < five.close_time_ms]
        assert five.missing_minutes == sum(candle.missing_minutes for candle in inside)
        assert five.quality.rank == min(candle.quality.rank for candle in inside)
    events = told(await bench.events())
    for candle in [*candles, *fives]:
        assert events[candle.symbol, candle.timeframe, candle.open_time_ms] == candle
