"""Each hop says once that nothing comes, and once that it comes again, with what was missed."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import structlog

from services.logic_engine.candle_watch import CandleWatch
from services.notifier.engine_watch import EngineWatch
from shared.bus.memory import MemoryBus
from shared.cache.sqlite import SqliteCache
from shared.domain.candles import Candle, CandleQuality
from shared.domain.errors import TransientError
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from tests.support.trades import START_MS


class World:
    def __init__(self) -> None:
        self.clock = EventClock(START_MS)
        self.bus = MemoryBus(load_topology(), self.clock)
        self.cache = SqliteCache(open_database(":memory:"), self.clock)

    async def told(self) -> list[Any]:
        found = await self.bus.pull("notifier--system-events", max_messages=10, wait_seconds=0)
        await self.bus.acknowledge(found)
        return [delivery.event for delivery in found]


def a_close(exchange: str) -> CandlesClosed:
    candle = Candle(
        exchange=exchange,
        symbol="AAA",
        timeframe=Timeframe.M1,
        open_time_ms=START_MS - MINUTE_MS,
        open=1.0,
        high=1.0,
        low=1.0,
        close=1.0,
        volume=Decimal(0),
        quote_volume=Decimal(0),
        trade_count=0,
        quality=CandleQuality.COMPLETE,
    )
    return CandlesClosed(exchange=exchange, symbol="AAA", close_time_ms=START_MS, candles=(candle,))


async def test_the_engine_says_of_which_exchange_no_candles_come():
    world = World()
    watch = CandleWatch(bus=world.bus, clock=world.clock, exchanges=["x", "y", "x"], budget_seconds=150)
    for _ in range(4):
        world.clock.now_ms += 60_000
        watch.arrived([a_close("x"), a_close("nobody-follows-it")])
        await watch.look()

    [blind] = await world.told()
    assert (blind.kind, blind.subject) == ("blind", "logic_engine#y")
    assert watch.status() == {"candles_blind": True, "candles_age_ms": 240_000}
    world.clock.now_ms += 60_000
    watch.arrived([a_close("x"), a_close("y")])
    await watch.look()
    [seeing] = await world.told()
    assert (seeing.kind, seeing.subject) == ("seeing", "logic_engine#y")
    assert "about 5 minute(s)" in seeing.text
    assert watch.status() == {"candles_blind": False, "candles_age_ms": 0}


async def test_the_notifier_says_that_the_engine_gives_no_sign_of_life():
    world = World()
    watch = EngineWatch(
        bus=world.bus, cache=world.cache, clock=world.clock, budget_seconds=120, log=structlog.get_logger()
    )

    async def after(seconds: float, *, alive: bool) -> list[Any]:
        world.clock.now_ms += round(seconds * 1000)
        if alive:
            status = msgspec.json.encode({"role": "active", "at_ms": world.clock.now_ms})
            await world.cache.set("status:logic_engine", status, ttl_ms=10_000)
        await watch.look()
        return await world.told()

    assert await after(2, alive=True) == []
    assert await after(119, alive=False) == []
    [blind] = await after(2, alive=False)
    assert (blind.kind, blind.subject) == ("blind", "notifier#logic_engine")
    assert await after(60, alive=False) == []
    [seeing] = await after(1, alive=True)
    assert seeing.kind == "seeing"
    assert watch.status()["engine_blind"] is False


async def test_a_cache_that_is_away_is_no_dead_engine(monkeypatch: pytest.MonkeyPatch):
    world = World()
    watch = EngineWatch(
        bus=world.bus, cache=world.cache, clock=world.clock, budget_seconds=120, log=structlog.get_logger()
    )

    async def away(key: str) -> bytes | None:
        raise TransientError(f"{key}: the cache is away")

    monkeypatch.setattr(world.cache, "get", away)
    world.clock.now_ms += 600_000
    await watch.look()

    assert await world.told() == []
