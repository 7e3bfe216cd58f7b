"""The logic engine as a process on the embedded file: started, killed at its crash points, started again, stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest

from shared.bus.sqlite import SqliteBus
from shared.cache.sqlite import SqliteCache
from shared.domain.events import SignalOpened
from shared.domain.timeframe import MINUTE_MS, minute_ms
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.signals import SignalStore
from shared.store.sqlite import SqliteStore
from tests.support.engine_market import VENUE, a_candle, closed
from tests.support.simulator import free_port

ROOT = Path(__file__).resolve().parents[2]
CONFIG = f"""
venues: {{{VENUE}: {{symbols: [BTCUSDT]}}}}
strategies: [{{name: rsi_divergence}}]
"""
EVERY_KIND = """
strategies:
  - {name: rsi_divergence}
  - {name: continuation, timeframe: 1m}
  - {name: manager, timeframe: 1m, parameters: {members: [{kind: donchian}, {kind: supertrend}]}}
"""


class Place:
    """A data folder with its adapters, and engines run on it."""

    def __init__(self, folder: Path) -> None:
        (folder / "tracker.yaml").write_text(CONFIG, encoding="utf-8")
        clock, topology = ScaledClock(), load_topology()
        self.folder = folder
        self.database = open_database(folder / "tracker.db")
        self.store = SqliteStore(self.database, topology, clock)
        self.bus = SqliteBus(self.database, topology, clock)
        self.cache = SqliteCache(self.database, clock)
        self.candles = CandleStore(self.store)

    def engine(self, **environment: str) -> subprocess.Popen[bytes]:
        variables = {
            **os.environ,
            "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "kernels")),
            "DATA_DIR": str(self.folder),
            "TRACKER_CONFIG": str(self.folder / "tracker.yaml"),
            "INSTANCE_ID": "logic-engine-under-test",
            "SWEEP_EVERY_SECONDS": "0.3",
            "STATUS_EVERY_SECONDS": "0.2",
            **environment,
        }
        command = [sys.executable, "-m", "services.logic_engine.main"]
        return subprocess.Popen(command, env=variables, cwd=ROOT, stderr=subprocess.PIPE)

    async def status(self) -> dict[str, object]:
        value = await self.cache.get("status:logic_engine")
        return msgspec.json.decode(value) if value else {}

    async def until(self, condition, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, "did not happen in time"
            await asyncio.sleep(0.05)


@pytest.fixture
async def place(tmp_path):
    found = Place(tmp_path)
    yield found
    await found.database.close()


def falling():
    start_ms = minute_ms(ScaledClock().market_ms()) - 120 * MINUTE_MS
    return [
        a_candle(start_ms + i * MINUTE_MS, round(200 - i * 0.01, 2), volume=Decimal(10 if i == 119 else 1))
        for i in range(120)
    ]


@pytest.mark.parametrize("point", ["decided", "claimed", "stored", "published"])
async def test_killed_at_a_crash_point_and_started_again_it_opens_the_signal_once(place, point):
    candles = falling()
    await place.candles.save(candles[:-1], fence=None)
    process = place.engine(CRASH_AT=f"logic_engine.{point}:1")
    try:

        async def is_active():
            return (await place.status()).get("series") == 1

        await place.until(is_active)
        await place.candles.save(candles[-1:], fence=None)
        await place.bus.publish("candles-closed", [closed(candles[-1])])
        await asyncio.to_thread(process.wait, 30)
        assert process.returncode == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()

    again = place.engine()
    try:

        async def is_idle():
            status = await place.status()
            return status.get("pid") == again.pid and status.get("open_signals") == 1

        await place.until(is_idle)
        again.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(again.communicate, timeout=20)
        assert again.returncode == 0, errors.decode()
    finally:
        again.kill()
    assert [record.signal.version for record in await SignalStore(place.store).all()] == [1]
    deliveries = await place.bus.pull("notifier--trade-signals-micro", max_messages=10, wait_seconds=0)
    assert {type(item.event) for item in deliveries} == {SignalOpened}
    assert len({item.event.event_id for item in deliveries}) == 1


async def test_a_cold_kernel_cache_is_refused_where_it_must_be_warm(place):
    cold = place.folder / "cold"
    process = place.engine(REQUIRE_COMPILED="1", NUMBA_CACHE_DIR=str(cold))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "run ./start_services.sh setup" in errors.decode().splitlines()[-1]


async def test_a_warm_engine_serves_without_compiling_anything_and_says_so_in_a_metric(place):
    (place.folder / "tracker.yaml").write_text(CONFIG.partition("strategies")[0] + EVERY_KIND, encoding="utf-8")
    candles = falling()
    await place.candles.save(candles[:-1], fence=None)
    port = free_port()
    process = place.engine(REQUIRE_COMPILED="1", HTTP_PORT=str(port))
    try:

        async def is_active():
            return (await place.status()).get("series") == 1

        async def has_decided():
            return (await place.status()).get("decisions") == 3

        await place.until(is_active)
        assert await misses(port) == "0"
        await place.candles.save(candles[-1:], fence=None)
        await place.bus.publish("candles-closed", [closed(candles[-1])])
        await place.until(has_decided)
        assert await misses(port) == "0"
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def misses(port: int) -> str:
    """The metric of kernels that were compiled in the process, as a scraper reads it."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    [value] = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("cst_kernel_cache_misses")]
    return value.removesuffix(".0")
