"""Receipt of the batch whose watermark covers the minute -> CandlesClosed published, on the SQLite file.

Run: python -m benchmarks.aggregator_close [symbols] [minutes]. Each minute brings 60 batches of 100 trades; the last
one is timed through append and close, as the service runs them, all symbols with trades. Alone on the file: what five
processes writing at once add is measured by the benchmark of the file itself.
"""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog

from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from shared.bus.sqlite import SqliteBus
from shared.domain.events import Event
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import TradeBatch
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.sqlite import SqliteStore

START_MS = 1_700_000_040_000
BATCHES_PER_MINUTE = 60
TRADES_PER_BATCH = 100


class TimedBus(SqliteBus):
    """Notes when the last publish was durable."""

    published_at = 0.0

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Publish, then look at the clock."""
        await super().publish(topic, events)
        self.published_at = time.perf_counter()


def a_batch(number: int, symbols: tuple[str, ...], random: np.random.Generator) -> TradeBatch:
    step_ms = MINUTE_MS // BATCHES_PER_MINUTE
    start_ms, count = START_MS + number * step_ms, TRADES_PER_BATCH
    ids = np.arange(number * count, (number + 1) * count)
    return TradeBatch(
        exchange="bybit-linear",
        session="benchmark",
        session_started_at_ms=START_MS,
        sequence=number,
        covers_from_ms=START_MS,
        watermark_ms=start_ms + step_ms,
        symbols=symbols,
        price_scales=(2,) * len(symbols),
        quantity_scales=(3,) * len(symbols),
        symbol_index=ids % len(symbols),
        trade_id=ids,
        price=np.round(100 + random.random(count), 2),
        quantity_units=random.integers(1, 10_000, count),
        traded_at_ms=np.sort(random.integers(start_ms, start_ms + step_ms, count)),
        taker_is_buyer=random.random(count) < 0.5,
        venue_sequence=ids,
        tie_rank=np.zeros(count, dtype=np.int64),
    )


# Live, a batch comes every quarter second; without any pause the write-ahead log would fill as it never does.
PAUSE_SECONDS = 0.005


async def measure(symbol_count: int, minutes: int, folder: Path) -> None:
    symbols = tuple(f"S{number:03d}USDT" for number in range(symbol_count))
    database, topology, clock = open_database(folder / "tracker.db"), load_topology(), ScaledClock()
    bus = TimedBus(database, topology, clock)
    aggregator = Aggregator(store=SqliteStore(database, topology, clock), bus=bus, limits=Limits())
    random = np.random.default_rng(7)
    append_ms, close_ms = [], []
    for number in range(minutes * BATCHES_PER_MINUTE):
        batch = a_batch(number, symbols, random)
        await asyncio.sleep(PAUSE_SECONDS)
        started = time.perf_counter()
        await aggregator.append([batch])
        appended = time.perf_counter()
        await aggregator.close_minutes()
        if (number + 1) % BATCHES_PER_MINUTE == 0:
            close_ms.append((bus.published_at - started) * 1000)
        else:
            append_ms.append((appended - started) * 1000)
    await database.close()
    for name, values in (("append", append_ms), ("receipt to published", close_ms)):
        p50, p99 = np.percentile(values, (50, 99))
        print(
            f"{name}: {symbol_count} symbols, n={len(values)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(values):.1f} ms"
        )


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as temporary:
        symbol_count, minute_count = [int(argument) for argument in sys.argv[1:]] or (40, 200)
        asyncio.run(measure(symbol_count, minute_count, Path(temporary)))
