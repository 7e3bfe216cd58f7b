"""Aggregators and logic engines as their processes run them, in this process, fed by ingestion's own publisher.

The market is the simulator's, cut into batches once by ingestion's session: a list that every run gets alike. Market time is
what the feed has reached, wall time is real: leases, backoffs and redeliveries take theirs.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import structlog
import yaml

from services.aggregator import main as aggregator
from services.aggregator.settings import Settings as AggregatorSettings
from services.ingestion.backlog import Backlog
from services.ingestion.core.session import SessionLimits, StreamSession
from services.ingestion.core.venue_clock import TimeLimits, VenueClock
from services.ingestion.core.window import WindowLimits
from services.ingestion.publisher import Publisher, PublisherLimits
from services.ingestion.spill import Spill
from services.logic_engine import main as logic_engine
from services.logic_engine.settings import Settings as EngineSettings
from services.simulator.core.generated_source import GeneratedSource
from shared.bus.memory import MemoryBus
from shared.cache.sqlite import SqliteCache
from shared.domain.candles import Candle, CandleQuality
from shared.domain.decisions import Decision
from shared.domain.instruments import Instrument
from shared.domain.signals import Signal
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.domain.topology import Topology
from shared.domain.trades import TradeBatch
from shared.domain.venue_trade import VenueTrade
from shared.runtime.service import ServiceContext
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.decisions import TABLE as DECISIONS
from shared.store.memory import MemoryStore
from shared.store.signals import SignalStore, SlotStore
from tests.support.faulty import Faults, FaultyBus, FaultyCache, FaultyStore

EXCHANGE = "bybit-linear"
TOPIC = "raw-tick-data-bybit"
SYMBOLS = ("XRPUSDT", "SEIUSDT", "LINKUSDT", "SUIUSDT", "ADAUSDT")
LATE_SYMBOL = "ADAUSDT"  # its candles are corrected
FIRST_MINUTE = 1_780_000_000_000 // MINUTE_MS
MINUTES = 190
LATE_MINUTE, LATE_AT = FIRST_MINUTE + 140, FIRST_MINUTE + 160
BATCH_MS = 15_000
LEASE_SECONDS = 1  # of a delivered message
WAITING_MAX = 24  # messages in front of the aggregator before the feed waits


def short_leases(topology: Topology) -> Topology:
    """The declared one; what is not acknowledged comes again after a second."""
    shorter = [
        msgspec.structs.replace(item, ack_deadline_seconds=LEASE_SECONDS, max_delivery_attempts=10_000)
        for item in topology.subscriptions
    ]
    return msgspec.structs.replace(topology, subscriptions=tuple(shorter))


def _market() -> GeneratedSource:
    return GeneratedSource(
        SYMBOLS, seed=7, slot_minutes=20, first_minute=FIRST_MINUTE - 1, exact_from_minute=FIRST_MINUTE
    )


@cache
def trades() -> list[VenueTrade]:
    """All trades in the order of their times, and the late one where it is told."""
    market, found = _market(), []
    for symbol, minute in itertools.product(SYMBOLS, range(FIRST_MINUTE, FIRST_MINUTE + MINUTES)):
        instrument, rows = market.instruments[symbol], market.trades(symbol, minute)
        found += [
            VenueTrade(
                symbol=symbol,
                trade_id=rows.trade_ids[row],
                price_text=instrument.price_text(int(rows.ticks[row])),
                quantity_text=instrument.quantity_text(int(rows.steps[row])),
                traded_at_ms=int(rows.at_ms[row]),
                taker_is_buyer=bool(rows.is_buy[row]),
                venue_sequence=int(rows.sequence[row]),
            )
            for row in range(len(rows.at_ms))
        ]
    return sorted(found, key=lambda trade: trade.traded_at_ms)


def late_trade() -> VenueTrade:
    """A trade above its minute's high, told twenty minutes later."""
    usual = next(one for one in trades() if one.symbol == LATE_SYMBOL and one.traded_at_ms >= LATE_MINUTE * MINUTE_MS)
    price = f"{float(usual.price_text) * 1.01:.4f}"
    return msgspec.structs.replace(
        usual, trade_id="late", price_text=price, traded_at_ms=LATE_MINUTE * MINUTE_MS + 31_007
    )


def instruments() -> dict[str, Instrument]:
    """As the venue lists them."""
    return {
        symbol: Instrument(
            exchange=EXCHANGE, symbol=symbol, base=symbol[:-4], quote="USDT",
            price_scale=one.price_scale, quantity_scale=one.quantity_scale,
        )
        for symbol, one in _market().instruments.items()
    }  # fmt: skip


def batches(
    instance: str, *, first_minute: int = 0, end_minute: int = MINUTES, every_ms: int = BATCH_MS
) -> list[TradeBatch]:
    """One ingestion instance's session over these minutes, cut so often (a divisor of a minute)."""
    begin_ms, end_ms = (FIRST_MINUTE + first_minute) * MINUTE_MS, (FIRST_MINUTE + end_minute) * MINUTE_MS
    clock = VenueClock(TimeLimits(lateness_ms=0))
    clock.advance(begin_ms - 60_000 if not first_minute else begin_ms)
    session = StreamSession(
        exchange=EXCHANGE,
        session=f"{instance}-1",
        started_at_ms=begin_ms,
        instruments=instruments(),
        clock=clock,
        limits=SessionLimits(window=WindowLimits(), time=TimeLimits(lateness_ms=0)),
        now_ms=0,
    )
    made, cut_ms, late = [], begin_ms + every_ms, False
    for trade in trades():
        if not begin_ms <= trade.traded_at_ms < end_ms:
            continue
        while trade.traded_at_ms >= cut_ms:
            clock.advance(cut_ms)
            if not late and cut_ms > LATE_AT * MINUTE_MS:
                late = session.add(late_trade())
            made.append(session.take(cut_ms))
            cut_ms += every_ms
        session.add(trade)
    clock.advance(end_ms)
    return [*made, session.take(end_ms)]


class FedClock:
    """Market time is what the feed has reached; wall time is real."""

    def __init__(self) -> None:
        self.market = FIRST_MINUTE * MINUTE_MS

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def market_ms(self) -> int:
        return self.market


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left behind. candles: every timeframe's newest revision, without the number of the revision."""

    candles: dict[tuple[str, Timeframe, int], Candle]
    revisions: dict[int, int]  # of LATE_SYMBOL's minutes
    decisions: dict[str, Decision]
    signals: dict[str, Signal]
    dead_letters: int


class Pipeline:
    """One store, bus and cache, and any number of instances of the two services on them, each behind its own faults."""

    def __init__(self, folder: Path, *, entry_freshness_ms: int = 10**12) -> None:
        self.folder = folder
        self.clock = FedClock()
        self.topology = short_leases(load_topology())
        self.store = MemoryStore(self.topology, self.clock)
        self.bus = MemoryBus(self.topology, self.clock)
        self.database = open_database(":memory:")
        self.cache = SqliteCache(self.database, self.clock)
        self.faults = Faults()
        self._entry_freshness_ms = entry_freshness_ms
        self._running: dict[str, tuple[asyncio.Task[None], ServiceContext[Any]]] = {}
        self._config = folder / "tracker.yaml"
        strategy = {"name": "rsi_divergence", "timeframe": "1m", "parameters": {"mode": "extreme"}}
        venues = {EXCHANGE: {"symbols": list(SYMBOLS)}}
        self._config.write_text(yaml.safe_dump({"venues": venues, "strategies": [strategy]}))

    def start(self, instance: str, faults: Faults | None = None, engine_faults: Faults | None = None) -> None:
        """An aggregator and an engine under this instance's name; both behind the pipeline's faults where none are given."""
        shared = {"DATA_DIR": self.folder, "TRACKER_CONFIG": self._config, "INSTANCE_ID": instance}
        # Held-back batches are minutes of this market: a minute waits for its coverage however long.
        waits = {"HOLE_TIMEOUT_MS": 10**12, "REST_DEADLINE_SECONDS": 0.05, "REPAIR_EVERY_SECONDS": 3600}
        lonely = {"BYBIT_REST_URL": "http://127.0.0.1:1", "AGGREGATOR_LEASE_TTL_MS": 1000}
        engine = {"ENTRY_FRESHNESS_MS": self._entry_freshness_ms, "GAP_PATIENCE_MS": 10**12}
        engine |= {"SWEEP_EVERY_SECONDS": 0.3, "LOGIC_ENGINE_LEASE_TTL_MS": 1000}
        self._start("aggregator", instance, AggregatorSettings(**shared, **waits, **lonely), faults)
        self._start("logic_engine", instance, EngineSettings(**shared, **engine), engine_faults or faults)

    def _start(self, name: str, instance: str, settings: Any, faults: Faults | None) -> None:
        faults = faults or self.faults
        context = ServiceContext(
            name=name,
            settings=settings,
            bus=FaultyBus(self.bus, faults),
            store=FaultyStore(self.store, faults),
            cache=FaultyCache(self.cache, faults),
            clock=self.clock,
            topology=self.topology,
            stopping=asyncio.Event(),
        )
        start: Callable[[Any], Any] = {"aggregator": aggregator.start, "logic_engine": logic_engine.start}[name]
        self._running[f"{name} {instance}"] = (asyncio.create_task(start(context)), context)

    async def stop(self, instance: str) -> None:
        """As SIGTERM does; each must end within its time."""
        for name in [name for name in self._running if name.endswith(f" {instance}")]:
            task, context = self._running.pop(name)
            context.stopping.set()
            await asyncio.wait_for(task, 10)

    async def stop_all(self) -> None:
        """Every instance."""
        for name in tuple(self._running):
            await self.stop(name.split()[1])

    @contextlib.asynccontextmanager
    async def feed(self, name: str) -> AsyncIterator["Feed"]:
        """Ingestion's way to the bus, behind the same faults."""
        spill = Spill.open(self.folder / f"spill-{name}", EXCHANGE, bytes_max=64 << 20)
        backlog = Backlog(spill, batches_max=50, on_unreadable=_unreadable)
        publisher = Publisher(
            FaultyBus(self.bus, self.faults),
            backlog,
            topic=TOPIC,
            refusals_to=f"aggregator--{TOPIC}",
            on_published=lambda _: None,
            log=structlog.get_logger(),
            limits=PublisherLimits(pause_seconds_max=0.2),
        )
        running = asyncio.create_task(publisher.run())
        try:
            yield Feed(self, publisher)
            assert await publisher.drain(seconds=30)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            backlog.close()

    async def flush_cache(self) -> int:
        """Forget all that the services keep there; how much it was."""
        keys = [f"status:{name.split()[0]}" for name in self._running]
        known = [key for key in keys if await self.cache.get(key) is not None]
        for key in known:
            await self.cache.delete(key)
        return len(known)

    def check(self) -> None:
        """Raise what ended a service that should run."""
        for task, _ in self._running.values():
            if task.done():
                task.result()

    async def handled_through(self) -> int:
        """The minute up to which every symbol has been decided."""
        slots = await SlotStore(self.store).all()
        return min((slot.handled_through_ms for slot in slots.values()), default=0) if len(slots) == len(SYMBOLS) else 0

    async def until_handled(self, time_ms: int, *, seconds: float = 60) -> None:
        """Wait until every symbol has been decided up to that close."""
        async with asyncio.timeout(seconds):
            while await self.handled_through() < time_ms:
                self.check()
                await asyncio.sleep(0.01)

    async def until_corrected(self) -> None:
        """Wait until the late trade's minute has a second revision and the engine has taken note of it."""
        async with asyncio.timeout(60):
            candles, place = CandleStore(self.store), (LATE_MINUTE * MINUTE_MS, LATE_MINUTE * MINUTE_MS + 1)
            while True:
                self.check()
                [one] = await candles.between(EXCHANGE, LATE_SYMBOL, Timeframe.M1, *place)
                if one.revision > 1 and not await self.bus.backlog("logic-engine--candles-closed"):
                    return
                await asyncio.sleep(0.01)

    async def result(self) -> Result:
        """Read it from the store itself."""
        candles = CandleStore(self.store)
        found: dict[tuple[str, Timeframe, int], Candle] = {}
        for symbol, timeframe in itertools.product(SYMBOLS, Timeframe):
            for one in await candles.between(EXCHANGE, symbol, timeframe, 0, 4 * 10**12):
                found[symbol, timeframe, one.open_time_ms] = msgspec.structs.replace(one, revision=0)
        minutes = await candles.between(EXCHANGE, LATE_SYMBOL, Timeframe.M1, 0, 4 * 10**12)
        rows = await self.store.scan(DECISIONS, "", "~")
        records = await SignalStore(self.store).all()
        dead = [await self.bus.dead_letters(item.name) for item in self.topology.subscriptions]
        return Result(
            candles=found,
            revisions={one.open_time_ms: one.revision for one in minutes},
            decisions={
                row.key: msgspec.msgpack.decode(row.value[1:], type=Decision) for row in rows if "shadow" not in row.key
            },
            signals={record.signal.signal_id: record.signal for record in records},
            dead_letters=sum(map(len, dead)),
        )

    async def close(self) -> None:
        """Whatever still runs ends."""
        for task, context in self._running.values():
            context.stopping.set()
            task.cancel()
        await asyncio.gather(*(task for task, _ in self._running.values()), return_exceptions=True)
        await self.database.close()


class Feed:
    """Hands batches to the publisher no faster than they are taken in."""

    def __init__(self, pipeline: Pipeline, publisher: Publisher) -> None:
        self._pipeline = pipeline
        self._publisher = publisher

    async def offer(self, batch: TradeBatch) -> None:
        """One batch. Around the late trade's the feed waits: a Decision reads the candles as they are when it is made, so
        what is decided before the correction and what after it must be the same in any run.
        """
        pipeline, late = self._pipeline, "late" in batch.trade_id.tolist()
        if late:
            await pipeline.until_handled(LATE_AT * MINUTE_MS)
        while await pipeline.bus.backlog(f"aggregator--{TOPIC}") > WAITING_MAX:
            pipeline.check()
            await asyncio.sleep(0.002)
        assert self._publisher.offer(batch)
        pipeline.clock.market = max(pipeline.clock.market, batch.watermark_ms)
        await asyncio.sleep(0)
        if late:
            await pipeline.until_corrected()


def _unreadable(data: bytes, reason: str) -> None:
    raise AssertionError((data[:100], reason))


def interleaved(feeds: list[list[TradeBatch]]) -> list[TradeBatch]:
    """Batches of several instances in the order in which they are cut."""
    return sorted(itertools.chain(*feeds), key=lambda batch: batch.watermark_ms)


def corrected(result: Result) -> list[int]:
    """Minutes of the late symbol that have more than one revision."""
    return [minute for minute, revision in result.revisions.items() if revision > 1]


def usable(result: Result) -> Iterator[Candle]:
    """Candles made of trades that are all there."""
    return (one for one in result.candles.values() if one.quality is CandleQuality.COMPLETE)
