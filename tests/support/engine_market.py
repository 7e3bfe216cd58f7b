"""A synthetic market of 1m candles, and an engine on a store in memory, for the tests of the logic engine."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from services.logic_engine.handlers import LogicEngine
from shared.bus.memory import MemoryBus
from shared.deciding.active import ActiveStrategy, active_strategy
from shared.domain.candles import Candle, CandleQuality
from shared.domain.events import CandleCorrected, CandlesClosed
from shared.domain.rollup import roll_up
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.signals import SignalStore
from shared.store.sqlite import SqliteStore

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
VENUE = "bybit-linear"


def a_candle(open_time_ms: int, close: float, *, symbol: str = "BTCUSDT", **changes: Any) -> Candle:
    """A flat candle unless told otherwise."""
    values: dict[str, Any] = {
        "exchange": VENUE,
        "symbol": symbol,
        "timeframe": Timeframe.M1,
        "open_time_ms": open_time_ms,
        "open": close,
        "high": max(close, changes.get("open", close)),
        "low": min(close, changes.get("open", close)),
        "close": close,
        "volume": Decimal(1),
        "quote_volume": Decimal(1),
        "trade_count": 1,
        "quality": CandleQuality.COMPLETE,
        "revision": 1,
    }
    return Candle(**{**values, **changes})


def wild_candles(symbol: str, minutes: int, seed: int, *, start_ms: int = START_MS) -> list[Candle]:
    """Trends, bursts of volume, gaps and wide candles: many signals with every kind of end."""
    chance = random.Random(f"{symbol}-{seed}")
    price, drift, candles = 100.0, 0.0, []
    for number in range(minutes):
        if chance.random() < 0.04:
            drift = chance.choice([-0.003, -0.0015, 0.0, 0.0, 0.0015, 0.003])
        open_price = price * (1 + (chance.gauss(0, 0.01) if chance.random() < 0.03 else 0))
        close = open_price * (1 + drift + chance.gauss(0, 0.0015))
        reach = 0.02 if chance.random() < 0.02 else 0.001
        high = max(open_price, close) * (1 + abs(chance.gauss(0, reach)))
        low = min(open_price, close) * (1 - abs(chance.gauss(0, reach)))
        volume = chance.uniform(0.5, 1.5) * (5 if chance.random() < 0.15 else 1)
        prices = [round(value, 4) for value in (open_price, high, low, close)]
        candles.append(
            a_candle(
                start_ms + number * MINUTE_MS,
                prices[3],
                symbol=symbol,
                open=prices[0],
                high=max(prices),
                low=min(prices),
                volume=Decimal(f"{volume:.3f}"),
            )
        )
        price = prices[3]
    return candles


def closed(candle: Candle, *roll_ups: Candle) -> CandlesClosed:
    return CandlesClosed(
        exchange=candle.exchange,
        symbol=candle.symbol,
        close_time_ms=candle.close_time_ms,
        candles=(candle, *roll_ups),
    )


def corrected(candle: Candle, *roll_ups: Candle) -> CandleCorrected:
    return CandleCorrected(exchange=candle.exchange, symbol=candle.symbol, candles=(candle, *roll_ups))


def with_five_minutes(candles: Sequence[Candle]) -> list[CandlesClosed]:
    """The 1m candles of one symbol with their 5m roll-ups."""
    events = []
    for number, candle in enumerate(candles, start=1):
        rolled = []
        if Timeframe.M5.closes_at(candle.close_time_ms) and number >= 5:
            from msgspec.structs import replace

            rolled = [replace(roll_up(candles[number - 5 : number], Timeframe.M5), revision=1)]
        events.append(closed(candle, *rolled))
    return events


@dataclass
class Bench:
    """A store, a bus and a clock that outlive the engines which use them."""

    strategies: Sequence[ActiveStrategy] = field(default_factory=lambda: [active_strategy("rsi_divergence")])

    def __post_init__(self) -> None:
        self.clock = EventClock(START_MS)
        topology = load_topology()
        self.database = open_database(":memory:")
        self.store = SqliteStore(self.database, topology, self.clock)
        self.bus = MemoryBus(topology, self.clock)
        self.candles = CandleStore(self.store)
        self.signals = SignalStore(self.store)

    def engine(self, *, store: Any = None, bus: Any = None, fence: int | None = None, **options: Any) -> LogicEngine:
        return LogicEngine(
            store=store or self.store,
            bus=bus or self.bus,
            clock=self.clock,
            strategies=self.strategies,
            fence=fence,
            **options,
        )

    async def keep(self, events: Sequence[CandlesClosed | CandleCorrected]) -> None:
        """Store candles as the aggregator does before it announces them; market time moves on with them."""
        candles = [candle for event in events for candle in event.candles]
        for timeframe in Timeframe:
            chosen = [candle for candle in candles if candle.timeframe is timeframe]
            if chosen:
                await self.candles.save(chosen, fence=None)
        self.clock.now_ms = max(self.clock.now_ms, *(candle.close_time_ms for candle in candles))

    async def published(self) -> list[Any]:
        """All signal events published so far that were not pulled yet, in order."""
        events = []
        while deliveries := await self.bus.pull("notifier--trade-signals-micro", max_messages=500, wait_seconds=0):
            events += [delivery.event for delivery in deliveries]
            await self.bus.acknowledge(deliveries)
        return events

    async def run(self, engine: LogicEngine, events: Sequence[CandlesClosed]) -> None:
        """Store and announce minute by minute, all symbols of a minute in one list."""
        by_close: dict[int, list[CandlesClosed]] = {}
        for event in events:
            by_close.setdefault(event.close_time_ms, []).append(event)
        for close in sorted(by_close):
            await self.keep(by_close[close])
            await engine.handle_candles(by_close[close])
