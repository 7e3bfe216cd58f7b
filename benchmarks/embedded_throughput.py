"""How many messages and rows the embedded adapters carry in one process, batched and one by one.

python -m benchmarks.embedded_throughput [--messages 50000] [--rows 100000] [--folder DIR]
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Final

from shared.bus.memory import MemoryBus
from shared.bus.port import Bus
from shared.bus.sqlite import SqliteBus
from shared.domain.events import Severity, SystemEvent
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.port import Store, Write, key_of
from shared.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[1]
BATCH: Final = 200
TOPIC, SUBSCRIPTION = "system-events", "notifier--system-events"


def an_event(number: int) -> SystemEvent:
    """About 200 bytes on the wire."""
    return SystemEvent(
        kind="benchmark", subject="load", version=number, severity=Severity.INFO, text="x" * 60, at_ms=number
    )


async def messages_per_second(bus: Bus, messages: int) -> float:
    """Publish, pull and acknowledge at the same time, in batches."""
    events = [an_event(number) for number in range(BATCH)]

    async def produce() -> None:
        for _ in range(messages // BATCH):
            await bus.publish(TOPIC, events)

    async def consume() -> None:
        handled = 0
        while handled < messages // BATCH * BATCH:
            deliveries = await bus.pull(SUBSCRIPTION, max_messages=BATCH, wait_seconds=1)
            await bus.acknowledge(deliveries)
            handled += len(deliveries)

    began = time.perf_counter()
    await asyncio.gather(produce(), consume())
    return messages / (time.perf_counter() - began)


async def rows_per_second(store: Store, rows: int) -> dict[str, float]:
    """Conditional writes in batches and alone, then scans of a batch's range."""
    began = time.perf_counter()
    for batch in range(rows // BATCH):
        await store.write([_write("batched", batch * BATCH + number) for number in range(BATCH)])
    written = time.perf_counter()
    for batch in range(rows // BATCH):
        start, end = (key_of("batched", (batch + step) * BATCH) for step in (0, 1))
        await store.scan("market-data-1m", start, end)
    scanned = time.perf_counter()
    for number in range(rows // 50):
        await store.write([_write("alone", number)])
    alone = time.perf_counter()
    return {
        "rows written per second, batched": rows / (written - began),
        "rows scanned per second": rows / (scanned - written),
        "writes of one row per second": rows // 50 / (alone - scanned),
    }


def _write(name: str, number: int) -> Write:
    return Write(table="market-data-1m", key=key_of(name, number), value=bytes(140), expected_revision=0, fence=1)


async def measure(messages: int, rows: int, folder: str | None) -> dict[str, dict[str, float]]:
    """Adapter -> figure -> per second."""
    topology, clock = load_topology(), ScaledClock()
    figures: dict[str, dict[str, float]] = {}
    for name, encode in (("memory bus, encoded", True), ("memory bus, objects", False)):
        bus = MemoryBus(topology, clock, encode=encode)
        figures[name] = {"messages per second": await messages_per_second(bus, messages)}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for name, path in (("SQLite in memory", ":memory:"), ("SQLite file", f"{place}/tracker.db")):
            database = open_database(path)
            figures[name] = {
                "messages per second": await messages_per_second(SqliteBus(database, topology, clock), messages),
                **await rows_per_second(SqliteStore(database, topology, clock), rows),
            }
            await database.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", help="where the file lies (default: the system's temporary folder)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "embedded_throughput.json")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.messages, arguments.rows, arguments.folder))
    for adapter, values in figures.items():
        for name, value in values.items():
            print(f"{adapter:22}{name:36}{value:12,.0f}")
    report = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, SQLite {sqlite3.sqlite_version}",
        "load_average_after": round(os.getloadavg()[0], 2),
        "figures": {
            adapter: {name: round(value) for name, value in values.items()} for adapter, values in figures.items()
        },
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
