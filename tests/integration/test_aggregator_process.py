"""The aggregator as a process on the one file: it acknowledges, closes, survives kill -9, hands over and stops cleanly."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from shared.bus.sqlite import SqliteBus
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.sqlite import SqliteStore
from tests.support.trades import EXCHANGE, START_MS, Row, a_batch

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIPTION = "aggregator--raw-tick-data-bybit"


def start(folder: Path, name: str, **environment: str) -> "subprocess.Popen[bytes]":
    config = folder / "tracker.yaml"
    # Nothing listens there: the venue's REST is down, which must hold nothing up for long.
    venue = {"symbols": ["AAA", "BBB"], "rest_url": "http://127.0.0.1:9"}
    config.write_text(yaml.safe_dump({"venues": {EXCHANGE: venue}, "strategies": [{"name": "rsi_divergence"}]}))
    settings = {
        "DATA_DIR": str(folder),
        "TRACKER_CONFIG": str(config),
        "LOG_FILE": str(folder / f"{name}.log"),
        "INSTANCE_ID": name,
        "AGGREGATOR_LEASE_TTL_MS": "1500",
        "REST_DEADLINE_SECONDS": "0.5",
        **environment,
    }
    command = [sys.executable, "-m", "services.aggregator.main"]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings})


def minute_batches(count: int) -> list[object]:
    rows = [
        [Row("AAA", 2 * n, START_MS + n * MINUTE_MS, 100.0 + n, 5), Row("BBB", n, START_MS + n * MINUTE_MS + 7, 7.0, 5)]
        for n in range(count)
    ]
    return [
        a_batch(part, sequence=n, watermark_ms=START_MS + (n + 1) * MINUTE_MS, started_at_ms=START_MS)
        for n, part in enumerate(rows)
    ]


@pytest.mark.parametrize("point", ["aggregator.appended", "aggregator.stored", "aggregator.announced"])
async def test_killed_and_taken_over_it_tells_every_candle_once(tmp_path, point):
    database = open_database(tmp_path / "tracker.db")
    clock, topology = ScaledClock(), load_topology()
    bus, store = SqliteBus(database, topology, clock), SqliteStore(database, topology, clock)
    batches = minute_batches(6)
    first = start(tmp_path, "first", CRASH_AT=f"{point}:2")
    second = None
    try:
        for batch in batches[:4]:  # one by one, so that it passes the point often enough
            await bus.publish("raw-tick-data-bybit", [batch])
            while first.poll() is None and await bus.backlog(SUBSCRIPTION):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.7)
        assert await asyncio.to_thread(first.wait, 30) == -signal.SIGKILL
        for batch in batches[4:]:
            await bus.publish("raw-tick-data-bybit", [batch])
        second = start(tmp_path, "second")
        candles = await candles_of(store, 6)
        assert [(one.close, one.trade_count, one.quality.value) for one in candles] == [
            (100.0 + n, 1, "complete") for n in range(6)
        ]
        known = {}
        deadline = time.monotonic() + 30
        while len(known) < 12 and time.monotonic() < deadline:
            for delivery in await bus.pull("logic-engine--candles-closed", max_messages=100, wait_seconds=0.2):
                known.setdefault(delivery.event.event_id, delivery.event)
        assert sorted({(event.symbol, event.close_time_ms) for event in known.values()}) == sorted(
            (symbol, START_MS + (n + 1) * MINUTE_MS) for symbol in ("AAA", "BBB") for n in range(6)
        )
        assert len(known) == 12
        second.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.wait, 20) == 0
        # The batch in hand at the kill is still leased to the dead; its rows are durable, so nobody waits for it.
        assert await bus.backlog(SUBSCRIPTION) <= 1
    finally:
        for process in (first, second):
            if process is not None and process.poll() is None:
                process.kill()
        await database.close()


async def candles_of(store: SqliteStore, count: int) -> list:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = await CandleStore(store).between(EXCHANGE, "AAA", Timeframe.M1, 0, 4 * 10**12)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("the candles did not come within 60 s")
