"""Candles are a fold over the set of trades: batching, order, repetition, restarts and kills change nothing."""

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.core import series as series_module
from shared.domain.candles import CandleQuality
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.domain.trades import TradeBatch
from tests.support.aggregator import Bench, figures, told, twin_minutes, twin_rolled_up
from tests.support.trades import START_MS, Row, a_batch

MINUTES = 8
END_MS = START_MS + MINUTES * MINUTE_MS
CRASHING_MODULES = ("handlers", "closing", "correcting")


@pytest.fixture(autouse=True, scope="module")
def _join_early() -> Iterator[None]:
    """A busy minute's pieces are joined from 32 on; these markets are small, so they are joined from 2 on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series_module, "JOIN_AT", 2)
        yield


class Killed(BaseException):
    """Stands for the process that ended here."""


@st.composite
def markets(draw: st.DrawFn) -> list[Row]:
    """Trades of two symbols, oldest first, ids of both kinds, several in one millisecond."""
    texts = draw(st.booleans())
    offsets = draw(st.lists(st.integers(0, MINUTES * MINUTE_MS - 1), min_size=1, max_size=25))
    offsets += draw(st.lists(st.sampled_from(offsets), max_size=5))
    rows, ranks = [], {}
    for number, offset in enumerate(sorted(offsets)):
        symbol = draw(st.sampled_from(["AAA", "BBB"]))
        rank = ranks.get((symbol, offset), 0)
        ranks[symbol, offset] = rank + 1
        trade_id = f"id-{number}" if texts else number
        price = draw(st.integers(9_000, 11_000)) / 100
        rows.append(Row(symbol, trade_id, START_MS + offset, price, draw(st.integers(1, 10_000)), True, rank))
    return rows


def session_of(draw: st.DrawFn, rows: list[Row], session: str) -> list[TradeBatch]:
    """The rows as one honest session: no watermark passes a trade that is still to come."""
    shuffled = draw(st.permutations(rows))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    bounds = [0, *cuts, len(rows)]
    parts = [shuffled[start:end] for start, end in pairwise(bounds)]
    batches, mark_ms = [], START_MS
    for number, part in enumerate(parts):
        later = [row.at_ms for rest in parts[number + 1 :] for row in rest]
        mark_ms = max(mark_ms, min(later, default=END_MS))
        batches.append(a_batch(part, sequence=number, session=session, watermark_ms=mark_ms))
    return batches


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Row], list[list[TradeBatch]]]:
    """A market, and its batches (of one session or two redundant ones) in any order, some repeated, in lists."""
    rows = draw(markets())
    batches = session_of(draw, rows, "s1")
    if draw(st.booleans()):
        batches += session_of(draw, rows, "s0")
    repeated = draw(st.lists(st.sampled_from(batches), max_size=4))
    order = draw(st.permutations([*batches, *repeated]))
    sizes = draw(st.lists(st.integers(1, 3), min_size=len(order), max_size=len(order)))
    lists, start = [], 0
    for size in sizes:
        if start < len(order):
            lists.append(order[start : start + size])
        start += size
    return rows, lists


@contextmanager
def crash_points(act: Callable[[str], None]) -> Iterator[None]:
    modules: list[Any] = [importlib.import_module(f"services.aggregator.{name}") for name in CRASHING_MODULES]
    kept = [module.crash_point for module in modules]
    try:
        for module in modules:
            module.crash_point = act
        yield
    finally:
        for module, function in zip(modules, kept, strict=True):
            module.crash_point = function


async def run(bench: Bench, lists: list[list[TradeBatch]], kills: set[int], *, restart_each: bool = False) -> None:
    """Deliver, close; where killed, start anew on the same store, with what was not acknowledged delivered again."""
    passes = 0

    def maybe_kill(_: str) -> None:
        nonlocal passes
        passes += 1
        if passes in kills:
            raise Killed

    with crash_points(maybe_kill):
        aggregator = bench.aggregator()
        for batches in [*lists, []]:
            acknowledged = False
            while True:
                try:
                    if not acknowledged:
                        await aggregator.append(batches)
                        acknowledged = True
                    await aggregator.close_minutes()
                    break
                except Killed:
                    aggregator = bench.aggregator()
            if restart_each:
                aggregator = bench.aggregator()


async def check(bench: Bench, rows: list[Row]) -> None:
    events = told(await bench.events())
    for symbol in ("AAA", "BBB"):
        minutes = twin_minutes(rows, symbol, END_MS)
        candles = await bench.candles(symbol)
        assert [figures(candle) for candle in candles] == minutes
        assert {candle.quality for candle in candles} <= {CandleQuality.COMPLETE}
        fives = await bench.candles(symbol, Timeframe.M5)
        assert [figures(candle) for candle in fives] == twin_rolled_up(minutes, Timeframe.M5)
        for candle in [*candles, *fives]:
            assert events[symbol, candle.timeframe, candle.open_time_ms] == candle
    assert await bench.marks() == {}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(case=deliveries())
def test_batching_order_and_repetition_change_nothing(case):
    rows, lists = case
    bench = Bench()
    asyncio.run(run(bench, lists, set()))
    asyncio.run(check(bench, rows))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=120)
@given(case=deliveries(), kills=st.sets(st.integers(1, 25), max_size=5), restart_each=st.booleans())
def test_a_kill_at_any_step_and_restarts_change_nothing(case, kills, restart_each):
    rows, lists = case
    bench = Bench()
    asyncio.run(run(bench, lists, kills, restart_each=restart_each))
    asyncio.run(check(bench, rows))
