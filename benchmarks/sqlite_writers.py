"""Five processes write the one SQLite file as 40 live symbols would; how long does a commit take?

    python benchmarks/sqlite_writers.py [--seconds 30] [--symbols 40] [--folder DIR] [--compress 12]

ingestion publishes a TradeBatch every 250 ms; the aggregator appends tape rows and marks, acknowledges, and at each
minute (every 60/compress seconds, so that closes are not rare) stores and announces every symbol's candles; the logic
engine stores decisions and opens a tenth as signals; the notifier writes its outbox fully synchronously; a fifth process
reports status, renews a lease, prunes, and publishes a stopwatch event that the notifier times.
A commit is measured by its caller: from asking to having it durable, queueing and thread changes included.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.bus.port import Delivery
from shared.bus.sqlite import SqliteBus
from shared.cache.sqlite import SqliteCache
from shared.domain.events import AlertRaised, SystemEvent
from shared.domain.events import Severity as Loudness
from shared.domain.timeframe import Timeframe
from shared.domain.trades import TradeBatch
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.port import Write, key_of
from shared.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[1]
ROLES = ("ingestion", "aggregator", "logic-engine", "notifier", "operator")
START_UP_SECONDS = 4.0
WINDOW_SECONDS = 0.25
TRADES_PER_SYMBOL_AND_WINDOW = 3
CANDLE_BYTES = 140
DECISION_BYTES = 900


class Role:
    """One process: its adapters, and a stopwatch around every write."""

    def __init__(self, path: str, begin_at: float, seconds: float, symbols: int, compress: float) -> None:
        self.database = open_database(path)
        self.commit_ms: list[float] = []
        self.delivery_ms: list[float] = []
        self._watch_writes()
        topology, clock = load_topology(), ScaledClock()
        self.bus = SqliteBus(self.database, topology, clock)
        self.store = SqliteStore(self.database, topology, clock)
        self.cache = SqliteCache(self.database, clock)
        self.begin_at = begin_at
        self.ends_at = begin_at + seconds
        self.symbols = tuple(f"COIN{number}USDT" for number in range(symbols))
        self.minute_seconds = 60 / compress

    def _watch_writes(self) -> None:
        write = self.database.write

        async def watched(operation: Callable[..., Any], *, fully_synchronous: bool = False) -> Any:
            began = time.perf_counter()
            try:
                return await write(operation, fully_synchronous=fully_synchronous)
            finally:
                self.commit_ms.append((time.perf_counter() - began) * 1000)

        self.database.write = watched  # type: ignore[method-assign]  # a stopwatch around the method

    @property
    def running(self) -> bool:
        """Until the agreed end."""
        return time.monotonic() < self.ends_at

    async def every(self, seconds: float, action: Callable[[int], Awaitable[None]]) -> None:
        """Run the action with 0, 1, 2, ... on a fixed beat."""
        number = 0
        beat = time.monotonic()
        while self.running:
            await action(number)
            number += 1
            beat += seconds
            await asyncio.sleep(max(0.0, beat - time.monotonic()))

    async def consume(self, subscription: str, handle: Callable[[Sequence[Delivery]], Awaitable[None]]) -> None:
        """Pull, handle, acknowledge."""
        while self.running:
            deliveries = await self.bus.pull(subscription, max_messages=200, wait_seconds=0.5)
            if deliveries:
                await handle(deliveries)
                await self.bus.acknowledge(deliveries)


def a_batch(sequence: int, symbols: tuple[str, ...]) -> TradeBatch:
    rows = len(symbols) * TRADES_PER_SYMBOL_AND_WINDOW
    now_ms = time.time_ns() // 1_000_000
    first_id = sequence * rows
    return TradeBatch(
        exchange="bybit-linear",
        session="benchmark",
        session_started_at_ms=now_ms,
        sequence=sequence,
        covers_from_ms=now_ms - 250,
        watermark_ms=now_ms,
        symbols=symbols,
        price_scales=(2,) * len(symbols),
        quantity_scales=(3,) * len(symbols),
        symbol_index=np.arange(rows) % len(symbols),
        trade_id=np.arange(first_id, first_id + rows),
        price=np.round(np.random.default_rng(sequence).uniform(100, 60_000, rows), 2),
        quantity_units=np.arange(1, rows + 1),
        traded_at_ms=np.full(rows, now_ms),
        taker_is_buyer=np.arange(rows) % 2 == 0,
        venue_sequence=np.arange(first_id, first_id + rows),
        tie_rank=np.zeros(rows, dtype=np.int64),
    )


async def ingestion(role: Role) -> None:
    async def publish(sequence: int) -> None:
        await role.bus.publish("raw-tick-data-bybit", [a_batch(sequence, role.symbols)])

    await role.every(WINDOW_SECONDS, publish)


async def aggregator(role: Role) -> None:
    async def append(deliveries: Sequence[Delivery]) -> None:
        writes = []
        for delivery in deliveries:
            batch = delivery.event
            assert isinstance(batch, TradeBatch)  # noqa: S101 - the topic carries nothing else
            minute = batch.watermark_ms // 60_000 * 60_000
            for symbol in batch.symbols:
                key = key_of(batch.exchange, symbol, minute)
                writes.append(
                    Write(table="market-trades", key=f"{key}#{batch.session}#{batch.sequence:015d}", value=bytes(200))
                )
                writes.append(Write(table="pending-minutes", key=key, value=b""))
        await role.store.write(writes)

    async def close_minute(number: int) -> None:
        async def close(symbol: str) -> None:
            key, value = key_of("bybit-linear", symbol, number), bytes(CANDLE_BYTES)
            tables = ("market-data-1m", *(("market-data-5m", "market-data-15m") if number % 5 == 0 else ()))
            await role.store.write(
                [Write(table=table, key=key, value=value, expected_revision=0, fence=1) for table in tables]
            )
            await role.bus.publish("candles-closed", [an_alert(symbol, number)])

        await asyncio.gather(*(close(symbol) for symbol in role.symbols))

    await asyncio.gather(
        role.consume("aggregator--raw-tick-data-bybit", append), role.every(role.minute_seconds, close_minute)
    )


async def logic_engine(role: Role) -> None:
    async def decide(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            key = key_of("rsi_divergence", delivery.message_id)
            await role.store.write([Write(table="decisions", key=key, value=bytes(DECISION_BYTES), fence=1)])
            if int(delivery.message_id) % 10 == 0:
                await role.store.write([Write(table="open-signals", key=key, value=bytes(300), expected_revision=0)])
                await role.bus.publish("trade-signals-micro", [delivery.event])

    await role.consume("logic-engine--candles-closed", decide)


async def notifier(role: Role) -> None:
    async def send(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            key = key_of("chat", delivery.message_id)
            await role.store.write([Write(table="outbox", key=key, value=bytes(1_500), expected_revision=0)])

    async def take_time(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if isinstance(delivery.event, SystemEvent):
                role.delivery_ms.append((time.perf_counter_ns() - int(delivery.event.text)) / 1e6)

    await asyncio.gather(
        role.consume("notifier--trade-signals-micro", send), role.consume("notifier--system-events", take_time)
    )


async def operator(role: Role) -> None:
    async def look_after(number: int) -> None:
        await role.store.acquire_lease("benchmark", "operator", ttl_ms=5_000)
        await role.cache.set("status:operator", json.dumps({"beat": number}).encode(), ttl_ms=60_000)
        if number % 10 == 9:
            await role.bus.prune()

    async def start_stopwatch(number: int) -> None:
        event = SystemEvent(
            kind="stopwatch",
            subject="benchmark",
            version=number,
            severity=Loudness.INFO,
            text=str(time.perf_counter_ns()),
            at_ms=0,
        )
        await role.bus.publish("system-events", [event])
        await asyncio.sleep(random.uniform(0, 0.02))  # so that it does not keep step with the others

    await asyncio.gather(role.every(0.5, look_after), role.every(0.1, start_stopwatch))


def an_alert(symbol: str, number: int) -> AlertRaised:
    """Something about as large as a CandlesClosed."""
    return AlertRaised(
        strategy="benchmark",
        alert="close",
        exchange="bybit-linear",
        symbol=symbol,
        timeframe=Timeframe.M1,
        candle_open_time_ms=number * 60_000,
        price=1.0,
        text="x" * 800,
    )


async def run_role(arguments: argparse.Namespace) -> None:
    role = Role(arguments.path, arguments.begin_at, arguments.seconds, arguments.symbols, arguments.compress)
    await asyncio.sleep(role.begin_at - time.monotonic())  # starting five interpreters is not what is measured
    began = time.process_time()
    runners = (ingestion, aggregator, logic_engine, notifier, operator)
    await runners[ROLES.index(arguments.role)](role)
    cpu_percent = (time.process_time() - began) / arguments.seconds * 100
    result = {"commits_ms": role.commit_ms, "deliveries_ms": role.delivery_ms, "cpu_percent": cpu_percent}
    await role.database.close()
    print(json.dumps(result))


def summary(values: Sequence[float]) -> dict[str, float]:
    """Count and the quantiles that matter, milliseconds."""
    if not values:
        return {"count": 0}
    quantiles = np.percentile(values, [50, 99, 99.9, 100])
    names = ("p50_ms", "p99_ms", "p99_9_ms", "max_ms")
    return {"count": len(values), **{name: round(float(q), 2) for name, q in zip(names, quantiles, strict=True)}}


def run_all(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "tracker.db"
        arguments.begin_at = time.monotonic() + START_UP_SECONDS
        passed_on = [
            f"--{name.replace('_', '-')}={getattr(arguments, name)}"
            for name in ("begin_at", "seconds", "symbols", "compress")
        ]
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--role", role, "--path", str(path), *passed_on],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for role in ROLES
        ]
        results = dict(zip(ROLES, (json.loads(process.communicate()[0]) for process in processes), strict=True))
        with sqlite3.connect(path) as connection:
            [(integrity,)] = connection.execute("PRAGMA integrity_check").fetchall()
        size_mb = path.stat().st_size / 1e6
    commits = {role: summary(result["commits_ms"]) for role, result in results.items()}
    commits["all"] = summary([value for result in results.values() for value in result["commits_ms"]])
    return {
        "what": "caller-side commit latency, five processes on one SQLite file",
        "symbols": arguments.symbols,
        "seconds": arguments.seconds,
        "minutes_per_minute": arguments.compress,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, SQLite {sqlite3.sqlite_version}",
        "load_average_after": round(os.getloadavg()[0], 2),
        "commits": commits,
        "delivery_between_processes": summary(results["notifier"]["deliveries_ms"]),
        "cpu_percent": {role: round(result["cpu_percent"], 1) for role, result in results.items()},
        "database_mb": round(size_mb, 1),
        "integrity": integrity,
    }


def show(report: dict[str, Any]) -> None:
    print(f"{report['symbols']} symbols, {report['seconds']} s, {report['machine']}")
    print(f"{'':24}{'count':>8}{'p50 ms':>9}{'p99 ms':>9}{'p99.9':>9}{'max':>9}{'cpu %':>8}")
    rows = {**report["commits"], "delivery": report["delivery_between_processes"]}
    for name, row in rows.items():
        values = "".join(f"{row.get(key, 0):9.2f}" for key in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms"))
        print(f"{name:24}{row['count']:8}{values}{report['cpu_percent'].get(name, ''):>8}")
    print(f"database {report['database_mb']} MB, integrity {report['integrity']}, load {report['load_average_after']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--compress", type=float, default=12, help="market minutes closed per minute")
    parser.add_argument("--folder", help="where the file lies (default: the system's temporary folder)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "sqlite_writers.json")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--begin-at", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        asyncio.run(run_role(arguments))
        return
    report = run_all(arguments)
    show(report)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
