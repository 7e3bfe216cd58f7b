"""How soon all is caught up after the bus was away for five minutes at 500 trades a second.

    .venv/bin/python benchmarks/bus_outage.py

Ingestion's publisher with its queue and spill file, the embedded bus and store, the aggregator: counted from the first
batch that the bus takes again until every minute of the outage is closed. Prints seconds and the growth of memory.
"""

import asyncio
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from services.ingestion.backlog import Backlog
from services.ingestion.publisher import Publisher
from services.ingestion.spill import Spill
from shared.bus.port import Delivery
from shared.bus.sqlite import SqliteBus
from shared.domain.errors import TransientError
from shared.domain.events import Event
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import TradeBatch
from shared.runtime.clock import ScaledClock
from shared.runtime.consumer import consume
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.sqlite import SqliteStore

SYMBOLS = tuple(f"S{number:02d}USDT" for number in range(10))
START_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
OUTAGE_SECONDS, TRADES_A_SECOND, WINDOW_MS = 300, 500, 250
TOPIC, SUBSCRIPTION = "raw-tick-data-binance", "aggregator--raw-tick-data-binance"


class AwayBus:
    """The embedded bus; while it is away, nothing can be published."""

    def __init__(self, inner: SqliteBus) -> None:
        self._inner = inner
        self.is_away = True

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """As the bus does, unless it is away."""
        if self.is_away:
            raise TransientError("the bus is away")
        await self._inner.publish(topic, events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def a_window(number: int, chance: np.random.Generator) -> TradeBatch:
    """One window's trades."""
    rows = TRADES_A_SECOND * WINDOW_MS // 1000
    begin_ms = START_MS + number * WINDOW_MS
    index = np.sort(chance.integers(0, len(SYMBOLS), rows))
    ids = np.arange(rows) + number * rows
    return TradeBatch(
        exchange="bybit-linear",
        session="benchmark",
        session_started_at_ms=START_MS,
        sequence=number,
        covers_from_ms=START_MS,
        watermark_ms=begin_ms + WINDOW_MS,
        symbols=SYMBOLS,
        price_scales=(2,) * len(SYMBOLS),
        quantity_scales=(3,) * len(SYMBOLS),
        symbol_index=index,
        trade_id=ids,
        price=np.round(chance.uniform(90, 110, rows), 2),
        quantity_units=chance.integers(1, 10_000, rows),
        traded_at_ms=begin_ms + np.sort(chance.integers(0, WINDOW_MS, rows)),
        taker_is_buyer=chance.random(rows) < 0.5,
        venue_sequence=ids,
        tie_rank=np.zeros(rows, dtype=np.int64),
    )


def megabytes() -> float:
    """The largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


async def measure(folder: Path) -> tuple[float, float, int]:
    """Seconds until caught up, growth of memory meanwhile and during the outage in MB, bytes spilled."""
    topology, clock = load_topology(), ScaledClock()
    database = open_database(folder / "tracker.db")
    inner, store = SqliteBus(database, topology, clock), SqliteStore(database, topology, clock)
    bus, log = AwayBus(inner), structlog.get_logger()
    aggregator = Aggregator(store=store, bus=inner, limits=Limits(), subscription=SUBSCRIPTION)
    spill = Spill.open(folder / "spill", "benchmark", bytes_max=64 * 1024 * 1024)
    backlog = Backlog(spill, batches_max=400, on_unreadable=lambda _, reason: log.error(reason))
    publisher = Publisher(
        bus,  # type: ignore[arg-type]  # the port, by delegation
        backlog,
        topic=TOPIC,
        refusals_to=SUBSCRIPTION,
        on_published=lambda _: None,
        log=log,
    )
    stopping = asyncio.Event()

    async def handle(deliveries: Sequence[Delivery]) -> None:
        await aggregator.handle(deliveries)
        await aggregator.close_minutes()

    tasks = [
        asyncio.create_task(publisher.run()),
        asyncio.create_task(consume(inner, SUBSCRIPTION, handle, stopping=stopping, log=log, max_messages=10)),
    ]
    chance = np.random.default_rng(1)
    windows = OUTAGE_SECONDS * 1000 // WINDOW_MS
    for number in range(50):  # before the outage: everything is warm
        await aggregator.append([a_window(number, chance)])
    before = megabytes()
    for number in range(50, windows):
        if not publisher.offer(a_window(number, chance)):
            raise RuntimeError(f"the spill was full after {number} windows")
        await asyncio.sleep(0)
    spilled, bus.is_away, begin = backlog.spilled_bytes, False, time.monotonic()
    while True:
        status = aggregator.status(now_market_ms=START_MS)
        if int(str(status["last_close_ms"])) >= START_MS + OUTAGE_SECONDS * 1000:
            break
        await asyncio.sleep(0.02)
    seconds = time.monotonic() - begin
    stopping.set()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    backlog.close()
    await database.close()
    return seconds, megabytes() - before, spilled


def main() -> None:
    """Print the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder:
        seconds, growth, spilled = asyncio.run(measure(Path(folder)))
    print(f"caught up in {seconds:.1f} s; {spilled / 1e6:.1f} MB spilled, memory grew by {growth:.0f} MB")


if __name__ == "__main__":
    main()
