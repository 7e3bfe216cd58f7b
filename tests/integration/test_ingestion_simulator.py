"""Ingestion as a whole against the market simulator: real sockets, the SQLite bus and store, cuts, faults, restarts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.ingestion.service import IngestionService, find_instruments
from services.ingestion.settings import IngestionSettings
from shared.domain.coverage import SessionCoverage, merged_spans
from shared.domain.events import SystemEvent
from shared.domain.trades import TradeBatch, TradeSource
from shared.exchanges.bybit.feed import BybitFeed
from shared.exchanges.bybit.rest import BybitRest
from shared.exchanges.websocket import FeedLimits
from shared.runtime.service import ServiceContext, open_context
from tests.support.simulator import RunningSimulator, running_simulator

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SEIUSDT")
RAW = "aggregator--raw-tick-data-bybit"
EVENTS = "notifier--system-events"


def settings_for(folder: Path, simulator: RunningSimulator, speed: float, **more: Any) -> IngestionSettings:
    clock = simulator.state()
    return IngestionSettings(
        data_dir=folder,
        websocket_url=simulator.websocket_url,
        rest_url=simulator.rest_url,
        market_clock_origin_wall_ms=clock["origin_wall_ms"],
        market_clock_origin_market_ms=clock["origin_market_ms"],
        market_clock_speed=speed,
        instance_id="test",
        **more,
    )


class Running:
    """A running ingestion and what it published."""

    def __init__(self, context: ServiceContext[IngestionSettings], service: IngestionService) -> None:
        self.context, self.service = context, service
        self.batches: list[TradeBatch] = []

    async def read(self) -> None:
        while found := await self.context.bus.pull(RAW, max_messages=500, wait_seconds=0):
            self.batches += [delivery.event for delivery in found if isinstance(delivery.event, TradeBatch)]
            await self.context.bus.acknowledge(found)

    async def until(self, condition, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            await self.read()
            if condition():
                return
            assert time.monotonic() < deadline, self.status()
            await asyncio.sleep(0.05)

    def status(self) -> dict[str, Any]:
        assert self.service.ingestion is not None
        return self.service.status(self.service.ingestion)

    def watermark_ms(self) -> int:
        return int(self.status()["watermark_ms"])  # type: ignore[call-overload]  # the status is untyped JSON


@contextlib.asynccontextmanager
async def ingesting(settings: IngestionSettings, symbols=SYMBOLS) -> AsyncIterator[Running]:
    limits = FeedLimits(silence_seconds=3.0, retry_seconds_first=0.1, retry_seconds_max=0.5, ping_seconds=1.0)
    async with open_context("ingestion", settings) as context:
        rest = BybitRest(settings.rest_url)
        service = IngestionService(context, rest)
        found = await find_instruments(rest, symbols, stopping=context.stopping, seconds_max=5, log=context.log)
        feed = BybitFeed(settings.websocket_url, (*found, *(s for s in symbols if s not in found)), limits=limits)
        task = asyncio.create_task(service.run(feed, found))
        running = Running(context, service)
        try:
            while service.ingestion is None:
                await asyncio.sleep(0.01)
            yield running
        finally:
            context.stopping.set()
            started = time.monotonic()
            await task
            await rest.close()
            assert time.monotonic() - started < 10
            await running.read()


def spans_of(batches: list[TradeBatch], symbol: str) -> tuple[tuple[int, int], ...]:
    sessions: dict[str, SessionCoverage] = {}
    for batch in batches:
        known = sessions.get(batch.session, SessionCoverage.beginning(batch))
        sessions[batch.session] = known.joined(batch)
    return merged_spans(
        tuple(span for session in sessions.values() if symbol in session.symbols for span in session.asserted)
    )


def ids_of(batches: list[TradeBatch], symbol: str, source: TradeSource | None = None) -> set[object]:
    chosen = [batch for batch in batches if source is None or batch.source is source]
    return {row.trade_id for batch in chosen for row in batch.rows() if row.symbol == symbol}


def check_against_venue(simulator: RunningSimulator, batches: list[TradeBatch], symbol: str) -> int:
    """Every trade the venue still shows inside what is asserted was published; returns how many were compared."""
    answer = simulator.get("/v5/market/recent-trade", category="linear", symbol=symbol, limit=1000)["result"]["list"]
    spans, ids = spans_of(batches, symbol), ids_of(batches, symbol)
    inside = [trade for trade in answer if any(start <= int(trade["time"]) < end for start, end in spans)]
    missing = [trade for trade in inside if trade["execId"] not in ids]
    assert not missing
    return len(inside)


async def test_sessions_are_contiguous_across_a_cut_and_a_restart(tmp_path: Path):
    with running_simulator(seed=5, speed=10, symbols=SYMBOLS) as simulator:
        settings = settings_for(tmp_path, simulator, 10)
        async with ingesting(settings) as running:
            await running.until(lambda: running.status()["refills_reached"] == len(SYMBOLS))
            before_ms = running.watermark_ms()
            await running.until(lambda: running.watermark_ms() > before_ms + 20_000)
            await asyncio.to_thread(simulator.fault, "cut")
            await running.until(lambda: running.status()["refills_reached"] == 2 * len(SYMBOLS))
            after_ms = running.watermark_ms()
            await running.until(lambda: running.watermark_ms() > after_ms + 20_000)
            first = running.batches
        await asyncio.sleep(1.0)  # down for ten seconds of the market
        async with ingesting(settings) as running:
            await running.until(lambda: running.status()["refills_reached"] == len(SYMBOLS))
            restarted_ms = running.watermark_ms()
            await running.until(lambda: running.watermark_ms() > restarted_ms + 20_000)
            second = running.batches
        batches = first + second
        for symbol in SYMBOLS:
            assert len(spans_of(batches, symbol)) == 1, spans_of(batches, symbol)
            assert check_against_venue(simulator, batches, symbol) > 0
        assert running.status()["refused"] == 0


async def test_a_refill_gives_each_trade_the_place_the_stream_gave_it(tmp_path: Path):
    with running_simulator(seed=6, speed=10, symbols=SYMBOLS) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 10)) as running:
            await running.until(lambda: running.status()["refills_reached"] == len(SYMBOLS))
            await asyncio.to_thread(simulator.fault, "cut")
            await running.until(lambda: running.status()["refills_reached"] == 2 * len(SYMBOLS))
            ranks: dict[tuple[str, object], set[int]] = {}
            for batch in running.batches:
                for row in batch.rows():
                    ranks.setdefault((row.symbol, row.trade_id), set()).add(row.tie_rank)
    assert all(len(places) == 1 for places in ranks.values())
    assert len(ranks) > 20


async def test_bad_frames_are_dead_lettered_and_the_rest_stays_whole(tmp_path: Path):
    with running_simulator(seed=7, speed=5, symbols=SYMBOLS, bad_frame_every_s=10.0) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 5)) as running:
            await running.until(lambda: int(running.status()["refused"]) >= 3, 30)
            reached = int(running.status()["refills_reached"])
            await running.until(lambda: int(running.status()["refills_reached"]) > reached, 30)
            letters = await running.context.bus.dead_letters(RAW)
            assert len(letters) >= 3
            assert all(letter.reason for letter in letters)
        for symbol in SYMBOLS:
            check_against_venue(simulator, running.batches, symbol)


async def test_an_unknown_symbol_is_named_and_the_others_go_on(tmp_path: Path):
    with running_simulator(seed=8, speed=5, symbols=SYMBOLS) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 5), (*SYMBOLS, "NOPEUSDT")) as running:
            await running.until(lambda: ids_of(running.batches, "BTCUSDT", TradeSource.STREAM))
            assert set(running.status()["refused_symbols"]) == {"NOPEUSDT"}


async def test_a_silent_venue_is_blindness_that_is_said_and_taken_back(tmp_path: Path):
    with running_simulator(seed=9, speed=5, symbols=SYMBOLS) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 5, freshness_budget_ms=1_000)) as running:
            await running.until(lambda: running.watermark_ms() > 0)
            await asyncio.to_thread(lambda: simulator.fault("cut", seconds=2.0))
            await running.until(lambda: running.status()["blind"])
            await running.until(lambda: not running.status()["blind"])
            await asyncio.sleep(0.3)
            said = await running.context.bus.pull(EVENTS, max_messages=10, wait_seconds=1)
            events = [delivery.event for delivery in said]
            assert [event.kind for event in events] == ["blind", "seeing"]
            assert events[0].version < events[1].version
            assert running.status()["reconnects"] >= 1


async def test_a_machine_clock_that_is_off_is_said_to_the_notifier_and_in_the_status(tmp_path: Path):
    with running_simulator(seed=14, speed=5, symbols=SYMBOLS) as simulator:
        right = settings_for(tmp_path, simulator, 5)
        off = right.model_copy(update={"market_clock_origin_market_ms": right.market_clock_origin_market_ms + 200_000})
        async with ingesting(off) as running:
            await running.until(lambda: running.status()["clock_skew"])
            assert 195_000 < int(running.status()["clock_skew_ms"]) < 215_000
            [said] = await running.context.bus.pull(EVENTS, max_messages=10, wait_seconds=1)
            assert isinstance(said.event, SystemEvent)
            assert said.event.kind == "clock_skew"


@pytest.mark.parametrize("speed", [60.0])
async def test_an_accelerated_market_is_followed(tmp_path: Path, speed: float):
    with running_simulator(seed=10, speed=speed, symbols=SYMBOLS) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, speed)) as running:
            await running.until(lambda: running.watermark_ms() > 0)
            start_ms = running.watermark_ms()
            await running.until(lambda: running.watermark_ms() > start_ms + 180_000)
        promised_ms: dict[str, int] = {}
        for batch in sorted(running.batches, key=lambda batch: batch.sequence):
            for row in batch.rows():
                assert row.traded_at_ms >= promised_ms.get(batch.session, 0)
            promised_ms[batch.session] = batch.watermark_ms
        assert not running.status()["clock_skew"]
        for symbol in SYMBOLS:
            check_against_venue(simulator, running.batches, symbol)


async def test_a_socket_that_falls_silent_is_replaced(tmp_path: Path):
    with running_simulator(seed=11, speed=5, symbols=SYMBOLS) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 5)) as running:
            await running.until(lambda: running.status()["refills_reached"] == len(SYMBOLS))
            await asyncio.to_thread(lambda: simulator.fault("silence", seconds=0.5))
            await running.until(lambda: running.status()["refills_reached"] == 2 * len(SYMBOLS))
            assert running.status()["reconnects"] == 1
        for symbol in SYMBOLS:
            assert len(spans_of(running.batches, symbol)) == 1


async def test_a_refill_is_asked_again_while_rest_is_down(tmp_path: Path):
    with running_simulator(seed=12, speed=5, symbols=SYMBOLS) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 5)) as running:
            await running.until(lambda: running.status()["refills_reached"] == len(SYMBOLS))
            await asyncio.to_thread(lambda: simulator.fault("rest_down", seconds=2.0))
            await asyncio.to_thread(lambda: simulator.fault("cut"))
            await running.until(lambda: running.status()["refills_reached"] == 2 * len(SYMBOLS))
        for symbol in SYMBOLS:
            assert len(spans_of(running.batches, symbol)) == 1


async def test_late_trades_and_repetitions_pass_as_they_are(tmp_path: Path):
    faults = {"late_trade_every_s": 5.0, "late_trade_delay_s": 20.0, "duplicate_every_s": 2.0}
    with running_simulator(seed=13, speed=10, symbols=SYMBOLS, **faults) as simulator:
        async with ingesting(settings_for(tmp_path, simulator, 10)) as running:
            await running.until(lambda: simulator.state()["counters"].get("late_trade", 0) >= 5, 30)
            await asyncio.sleep(1.0)
        assert running.status()["refused"] == 0
        assert running.status()["sessions"] == 1
        rows = [row for batch in running.batches for row in batch.rows() if batch.source is TradeSource.STREAM]
        assert len(rows) > len({(row.symbol, row.trade_id) for row in rows})
