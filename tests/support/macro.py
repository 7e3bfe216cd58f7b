"""A macro engine on a store in memory, before a server that speaks Kraken's protocol."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.macro_engine.core.versions import Pair
from services.macro_engine.handlers import MacroEngine, MacroLimits, RunReport
from services.macro_engine.memory import Memory
from services.macro_engine.sources import RegimeSources
from shared.bus.memory import MemoryBus
from shared.domain.bias import MacroBias
from shared.domain.events import SystemEvent
from shared.exchanges.http import RestLimits
from shared.exchanges.kraken.rest import KrakenRest
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.store.memory import MemoryStore
from tests.support.kraken_server import KrakenServer, Market, made_market

AS_OF = 1_795_176_000_000  # 2026-11-20 12:00 UTC: 4h candles close here, too
CALENDAR = Path(__file__).resolve().parents[2] / "infra" / "calendars" / "fomc.yaml"
PAIRS = (Pair("BTC", "USDT"), Pair("ETH", "USDT"), Pair("SOL", "USDT"))
QUICK = RestLimits(timeout_seconds=5, attempts=2, pause_seconds_max=0.05, requests_per_second=2_000)
DAILY: dict[str, object] = {
    "dxy": {"rows": [{"date": "2026-11-18", "close": 101.0}, {"date": "2026-11-19", "close": 100.5}]},
    "dominance": {"rows": [{"date": "2026-11-18", "close": 55.0}, {"date": "2026-11-19", "close": 54.0}]},
}


@functools.cache
def _made(as_of_ms: int) -> dict[str, Market]:
    return {
        "XBTUSDT": made_market("XBT/USDT", "up", as_of_ms),
        "ETHUSDT": made_market("ETH/USDT", "down", as_of_ms),
        "SOLUSDT": made_market("SOL/USDT", "flat", as_of_ms),
    }


def markets(as_of_ms: int = AS_OF) -> dict[str, Market]:
    """BTC up, ETH down, SOL nowhere."""
    return dict(_made(as_of_ms))


@dataclass
class MacroBench:
    """Store, bus and clock that outlive the engines run on them."""

    kraken: KrakenServer
    calendar: Path = CALENDAR
    pairs: tuple[Pair, ...] = PAIRS
    limits: MacroLimits = field(default_factory=lambda: MacroLimits(quotes_like={"USDT": ("USD",)}))
    venue_limits: RestLimits = QUICK

    def __post_init__(self) -> None:
        self.clock = EventClock(AS_OF + 20_000)
        self.store = MemoryStore(load_topology(), self.clock)
        self.bus = MemoryBus(load_topology(), self.clock)
        self.urls: dict[str, str | None] = {name: f"{self.kraken.url}/daily/{name}" for name in ("dxy", "dominance")}

    async def run(self, *, bus: Any = None) -> RunReport:
        """One run of a new engine, as after a restart."""
        venue = KrakenRest(self.kraken.url, limits=self.venue_limits)
        memory = Memory(self.store)
        sources = RegimeSources(memory, urls=self.urls, calendar=self.calendar, timeout_seconds=5)
        try:
            engine = MacroEngine(
                store=self.store,
                bus=bus or self.bus,
                clock=self.clock,
                venue=venue,
                sources=sources,
                pairs=self.pairs,
                limits=self.limits,
                log=structlog.get_logger(),
            )
            return await engine.run()
        finally:
            await venue.close()

    async def biases(self) -> dict[str, MacroBias]:
        """What the logic engine has been sent since the last question, by base."""
        return {item.bias.base: item.bias for item in await self._pulled("logic-engine--macro-bias-updates")}

    async def events(self) -> list[SystemEvent]:
        """What people have been told since the last question."""
        return await self._pulled("notifier--system-events")

    async def _pulled(self, subscription: str) -> list[Any]:
        deliveries = await self.bus.pull(subscription, max_messages=1_000, wait_seconds=0)
        await self.bus.acknowledge(deliveries)
        return [delivery.event for delivery in deliveries]
