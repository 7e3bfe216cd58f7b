"""What the logic engine costs: a replayed day of 17 symbols in memory, and 300 symbols that close at once on the file.

python -m benchmarks.logic_engine [symbols of the live part]. 10 of them signal at every fourth close.
"""

import asyncio
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from decimal import Decimal
from pathlib import Path

from services.logic_engine.handlers import LogicEngine
from shared.bus.memory import MemoryBus
from shared.bus.port import Bus
from shared.bus.sqlite import SqliteBus
from shared.deciding.active import active_strategy
from shared.domain.candles import Candle, CandleQuality
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.port import Store
from shared.store.sqlite import SqliteStore
from shared.strategies.registry import warm_up

START_MS = 1_700_000_040_000
VENUE = "bybit-linear"


class Market:
    """Small random steps; a symbol that signals falls by 3 % on nine times the volume."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.prices = dict.fromkeys(symbols, 100.0)
        self.chance = random.Random(1)

    def minute(self, number: int, signalling: Collection[str] = ()) -> list[CandlesClosed]:
        """Announcements of minute `number`, one per symbol."""
        events = []
        for symbol, before in self.prices.items():
            fall = 0.97 if symbol in signalling else 1.0
            after = round(before * fall * (1 + self.chance.gauss(0, 0.0005)), 4)
            self.prices[symbol] = after
            candle = Candle(
                exchange=VENUE,
                symbol=symbol,
                timeframe=Timeframe.M1,
                open_time_ms=START_MS + number * MINUTE_MS,
                open=before,
                high=max(before, after),
                low=min(before, after),
                close=after,
                volume=Decimal(9 if symbol in signalling else 1),
                quote_volume=Decimal(100),
                trade_count=1,
                quality=CandleQuality.COMPLETE,
                revision=1,
            )
            close_ms = candle.close_time_ms
            events.append(CandlesClosed(exchange=VENUE, symbol=symbol, close_time_ms=close_ms, candles=(candle,)))
        return events


async def keep(store: Store, events: Sequence[CandlesClosed], clock: EventClock) -> None:
    await CandleStore(store).save([candle for event in events for candle in event.candles], fence=None)
    clock.now_ms = events[0].close_time_ms


def engine_on(store: Store, bus: Bus, clock: EventClock, fence: int | None) -> LogicEngine:
    strategies = [active_strategy("rsi_divergence")]
    return LogicEngine(store=store, bus=bus, clock=clock, strategies=strategies, fence=fence)


async def replayed_day() -> None:
    clock, topology = EventClock(START_MS), load_topology()
    database = open_database(":memory:")
    store = SqliteStore(database, topology, clock)
    market = Market([f"S{number:02d}USDT" for number in range(17)])
    engine = engine_on(store, MemoryBus(topology, clock, encode=False), clock, None)
    spent = 0.0
    for number in range(1440 + 119):
        events = market.minute(number)
        await keep(store, events, clock)
        begin = time.perf_counter()
        await engine.handle_candles(events)
        spent += time.perf_counter() - begin
    each = spent / engine.decisions_made * 1e6
    print(f"replay: {engine.decisions_made} decisions in {spent:.2f} s ({each:.0f} us each)")
    await database.close()


async def live(symbol_count: int) -> None:
    clock, topology = EventClock(START_MS), load_topology()
    symbols = [f"S{number:03d}USDT" for number in range(symbol_count)]
    market = Market(symbols)
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Path(folder) / "tracker.db")
        store, bus = SqliteStore(database, topology, clock), SqliteBus(database, topology, clock)
        for number in range(120):
            await keep(store, market.minute(number), clock)
        engine = engine_on(store, bus, clock, 1)
        await engine.start([(VENUE, symbol) for symbol in symbols])
        taken_ms = []
        for number in range(120, 220):
            signalling = symbols[number : number + 10] if number % 4 == 0 else ()
            events = market.minute(number, signalling)
            await keep(store, events, clock)
            begin = time.perf_counter()
            await engine.handle_candles(events)
            taken_ms.append((time.perf_counter() - begin) * 1000)
        p99 = statistics.quantiles(taken_ms, n=100)[98]
        print(
            f"live: {symbol_count} symbols, decisions, signals and progress durable: median "
            f"{statistics.median(taken_ms):.0f} ms, p99 {p99:.0f} ms, first {taken_ms[0]:.0f} ms"
        )
        await database.close()


async def main() -> None:
    warm_up()
    gc.collect()
    gc.freeze()  # as the service does
    await live(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
    await replayed_day()


if __name__ == "__main__":
    asyncio.run(main())
