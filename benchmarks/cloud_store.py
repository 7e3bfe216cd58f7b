"""What the Bigtable store and the Redis cache carry from one process: rows written, rows read, claims, their latencies.

python -m benchmarks.cloud_store [--rows 20000]

Starts its own Bigtable emulator (through gcloud's SDK folder) and redis-server on loopback. The emulator's figures say what
the client costs, not what a real instance answers.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from shared.cache.redis import RedisCache
from shared.domain.timeframe import MINUTE_MS
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.store.bigtable import BigtableStore
from shared.store.port import Write, key_of
from tests.support.emulators_store import PROJECT, fresh_bigtable, running_bigtable, running_redis

ROOT = Path(__file__).parents[1]
BATCH: Final = 300  # one row per symbol of the largest market we carry
CANDLE_BYTES: Final = 140
TAPE_BYTES: Final = 1_000  # fifty trades
LAST: Final = 120
Figures = dict[str, float]


async def store_figures(store: BigtableStore, rows: int) -> Figures:
    """Tape rows in bulk, candles by conditional write, corrections of them, windows and single rows read back."""
    tape = await _rate(rows, lambda batch: store.write([_tape(batch * BATCH + number) for number in range(BATCH)]))
    conditional = rows // 4
    candles = await _rate(
        conditional, lambda batch: store.write([_candle(number, batch, 0) for number in range(BATCH)])
    )
    again = await _rate(conditional, lambda batch: store.write([_candle(number, batch, 1) for number in range(BATCH)]))
    for minute in range(LAST):
        await store.write([_candle(BATCH, minute, 0)])
    window = (key_of("symbol", BATCH, 0), key_of("symbol", BATCH, LAST * MINUTE_MS))
    scans = await _milliseconds(60, lambda _: store.scan("market-data-1m", *window))
    gets = await _milliseconds(300, lambda _: store.get("market-data-1m", window[0]))
    alone = await _milliseconds(300, lambda number: store.write([_candle(BATCH + 1, number, 0)]))
    leases = await _milliseconds(200, lambda _: store.acquire_lease("benchmark", "one", ttl_ms=60_000))
    return {
        "tape rows written per second, in bulk": tape,
        "candles written per second, conditional and fenced": candles,
        "candles corrected per second, conditional and fenced": again,
        f"last {LAST} candles of a symbol, ms (median)": scans[0],
        f"last {LAST} candles of a symbol, ms (99 %)": scans[1],
        "one row read, ms (median)": gets[0],
        "one conditional write, ms (median)": alone[0],
        "one conditional write, ms (99 %)": alone[1],
        "lease renewed, ms (median)": leases[0],
    }


async def cache_figures(cache: RedisCache) -> Figures:
    """Claims one after the other and many at once; a chart of 40 KB."""
    claims = await _milliseconds(500, lambda number: cache.claim(f"claim:{number}", "one", ttl_ms=60_000))
    charts = await _milliseconds(200, lambda number: cache.set(f"chart:{number}", bytes(40_000), ttl_ms=60_000))

    async def many(batch: int) -> None:
        await asyncio.gather(*(cache.claim(f"many:{batch}:{number}", "one", ttl_ms=60_000) for number in range(BATCH)))

    return {
        "one claim, ms (median)": claims[0],
        "one chart of 40 KB set, ms (median)": charts[0],
        "claims per second, 300 at once": await _rate(6_000, many),
    }


def _tape(number: int) -> Write:
    return Write(table="market-trades", key=key_of("benchmark", "SYMBOL", number), value=bytes(TAPE_BYTES))


def _candle(symbol: int, minute: int, revision: int) -> Write:
    key = key_of("symbol", symbol, minute * MINUTE_MS)
    value = bytes(CANDLE_BYTES)
    return Write(table="market-data-1m", key=key, value=value, expected_revision=revision, fence=1)


async def _rate(rows: int, write_batch: Callable[[int], Awaitable[object]]) -> float:
    began = time.perf_counter()
    batches = max(1, rows // BATCH)
    for batch in range(batches):
        await write_batch(batch)
    return batches * BATCH / (time.perf_counter() - began)


async def _milliseconds(times: int, ask: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Median and 99th percentile."""
    spent = []
    for number in range(times):
        began = time.perf_counter()
        await ask(number)
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent), sorted(spent)[int(times * 0.99)]


async def measure(rows: int, redis_url: str) -> dict[str, Figures]:
    """Adapter -> figure -> value."""
    topology = load_topology()
    async with fresh_bigtable(topology) as instance:
        store = BigtableStore(PROJECT, instance, topology, ScaledClock())
        store_values = await store_figures(store, rows)
        await store.close()
    cache = RedisCache(redis_url)
    cache_values = await cache_figures(cache)
    await cache.close()
    return {"Bigtable emulator": store_values, "Redis": cache_values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "cloud_store.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_bigtable() as bigtable, running_redis(Path(folder)) as redis:
        os.environ["BIGTABLE_EMULATOR_HOST"] = bigtable.address
        figures = asyncio.run(measure(arguments.rows, f"redis://{redis.address}/0"))
    for adapter, values in figures.items():
        for name, value in values.items():
            print(f"{adapter:20}{name:56}{value:12,.{0 if value > 100 else 2}f}")
    versions = {name: importlib.metadata.version(name) for name in ("google-cloud-bigtable", "grpcio", "redis")}
    report = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": versions,
        "load_average_after": round(os.getloadavg()[0], 2),
        "figures": {
            adapter: {name: round(value, 2) for name, value in values.items()} for adapter, values in figures.items()
        },
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
