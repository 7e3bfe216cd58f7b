"""The process itself: killed at the worst moment, restarted, stopped; what is on the bus stays true."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from shared.bus.sqlite import SqliteBus
from shared.cache.sqlite import SqliteCache
from shared.domain.coverage import SessionCoverage, merged_spans
from shared.domain.trades import TradeBatch
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from tests.support.simulator import RunningSimulator, running_simulator

ROOT = Path(__file__).resolve().parents[2]
RAW = "aggregator--raw-tick-data-bybit"
SPEED = 10


def start(folder: Path, simulator: RunningSimulator, **more: str) -> subprocess.Popen[bytes]:
    state = simulator.state()
    (folder / "tracker.yaml").write_text(
        "venues: {bybit-linear: {symbols: [BTCUSDT, ETHUSDT]}}\nstrategies: [{name: rsi_divergence}]\n"
    )
    environment = {
        **os.environ,
        "DATA_DIR": str(folder / "data"),
        "TRACKER_CONFIG": str(folder / "tracker.yaml"),
        "BYBIT_WEBSOCKET_URL": simulator.websocket_url,
        "BYBIT_REST_URL": simulator.rest_url,
        "MARKET_CLOCK_ORIGIN_WALL_MS": str(state["origin_wall_ms"]),
        "MARKET_CLOCK_ORIGIN_MARKET_MS": str(state["origin_market_ms"]),
        "MARKET_CLOCK_SPEED": str(SPEED),
        "LOG_FILE": str(folder / "ingestion.log"),
        **more,
    }
    return subprocess.Popen([sys.executable, "-m", "services.ingestion.main"], cwd=ROOT, env=environment)


def ended(process: subprocess.Popen[bytes], seconds: float = 20) -> int:
    try:
        return process.wait(seconds)
    finally:
        process.kill()


async def status(cache: SqliteCache) -> dict[str, object]:
    found = await cache.get("status:ingestion")
    return msgspec.json.decode(found) if found else {}


async def test_killed_and_restarted_it_leaves_no_hole_and_stops_in_time(tmp_path: Path):
    (tmp_path / "data").mkdir()
    with running_simulator(seed=21, speed=SPEED, symbols=("BTCUSDT", "ETHUSDT")) as simulator:
        killed = await asyncio.to_thread(ended, start(tmp_path, simulator, CRASH_AT="ingestion.published:25"))
        assert killed == -signal.SIGKILL

        process = start(tmp_path, simulator)
        database = open_database(tmp_path / "data" / "tracker.db")
        clock = ScaledClock()
        bus, cache = SqliteBus(database, load_topology(), clock), SqliteCache(database, clock)
        deadline = time.monotonic() + 20
        while (found := await status(cache)).get("pid") != process.pid or found.get("refills_reached") != 2:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        process.send_signal(signal.SIGTERM)
        stopped_at = time.monotonic()
        assert await asyncio.to_thread(ended, process) == 0
        assert time.monotonic() - stopped_at < 10

        sessions: dict[str, SessionCoverage] = {}
        while deliveries := await bus.pull(RAW, max_messages=500, wait_seconds=0):
            for batch in (delivery.event for delivery in deliveries):
                assert isinstance(batch, TradeBatch)
                known = sessions.get(batch.session, SessionCoverage.beginning(batch))
                sessions[batch.session] = known.joined(batch)
            await bus.acknowledge(deliveries)
        database.close()
        assert len([name for name in sessions if "refill" not in name]) == 2
        for symbol in ("BTCUSDT", "ETHUSDT"):
            spans = [span for session in sessions.values() if symbol in session.symbols for span in session.asserted]
            assert len(merged_spans(tuple(spans))) == 1, spans


async def test_a_wrong_configuration_is_one_line_and_code_two(tmp_path: Path):
    (tmp_path / "tracker.yaml").write_text("venues: {kraken-spot: {symbols: [XBTUSD]}}\nstrategies: [{name: x}]\n")
    environment = {
        **os.environ,
        "DATA_DIR": str(tmp_path / "data"),
        "TRACKER_CONFIG": str(tmp_path / "tracker.yaml"),
        "LOG_FILE": str(tmp_path / "ingestion.log"),
    }
    command = [sys.executable, "-m", "services.ingestion.main"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "venues must name one of bybit-linear" in done.stderr
