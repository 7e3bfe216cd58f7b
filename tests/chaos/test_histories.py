"""Real processes, killed and cut at random: every closed minute equals the venue's kline, or says why not.

Each history also holds a late trade and a hole that REST cannot fill at once, so that each sees corrections, repairs,
holes and kills. `--seeds N` says how many; a failing one names its seed.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from shared.domain.candles import Candle, CandleQuality
from shared.domain.kline_rules import differences
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.exchanges.bybit.rest import bybit_rest
from shared.runtime.adapters import open_store_and_cache
from shared.runtime.clock import ScaledClock
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from tests.end_to_end.platform import EXCHANGE, Platform
from tests.support.emulators_store import ServerProcess
from tests.support.simulator import RunningSimulator, running_simulator

SYMBOLS = ("BTCUSDT", "SEIUSDT")
SPEED = 30.0
MARKET_MINUTES = 3
SERVICES = ("ingestion", "aggregator")
BEGIN_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
SETTLED_SECONDS_MAX = 120.0
_WITHOUT_TRADES = {CandleQuality.PARTIAL, CandleQuality.REPAIRED_KLINE}


class Play:
    """One history: its processes, its venue, its chances, and what struck."""

    def __init__(
        self, platform: Platform, simulator: RunningSimulator, servers: dict[str, ServerProcess], seed: int
    ) -> None:
        self.platform, self.simulator, self.servers = platform, simulator, servers
        self.chance = random.Random(seed)
        self.struck: Counter[str] = Counter()

    async def kill(self, name: str) -> None:
        self.platform.kill(name)
        self.struck["kill"] += 1
        await asyncio.sleep(self.chance.uniform(0, 0.5))
        self.platform.start(name)

    async def pause(self, broker: str) -> None:
        """The broker answers nobody for a moment."""
        self.servers[broker].signal(signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(0.2, 1.5))
        self.servers[broker].signal(signal.SIGCONT)

    async def strike_until(self, until_ms: int) -> None:
        """Kill, cut and pause at random until this market time."""
        brokers = [name for name in ("pubsub", "bigtable") if name in self.servers]
        while self.simulator.market_ms() < until_ms:
            await asyncio.sleep(self.chance.uniform(0.3, 1.2))
            what = self.chance.choice([*SERVICES, *SERVICES, *brokers, "cut", "silence", "rest_down", "duplicate"])
            self.struck[what] += 1
            if what in SERVICES:
                await self.kill(what)
            elif what in brokers:
                await self.pause(what)
            else:
                self.simulator.fault(what, seconds=self.chance.uniform(0, 1.0))

    async def make_sure(self) -> None:
        """A late trade, a kill, and a hole: the stream is back before REST, so that minutes close without proof."""
        await self.kill(self.chance.choice(SERVICES))
        killed_ms = self.simulator.market_ms()

        async def works_again() -> bool:
            candles, _ = await stored(killed_ms)
            return {one.symbol for one in candles} == set(SYMBOLS)

        # A starting ingestion asks REST for its instruments: without them nothing would come, not even a hole.
        await self.platform.until(works_again, "minutes that close after the kill", 60)
        self.simulator.fault("late_trade", symbol=SYMBOLS[0], delay_s=100.0)
        begin_ms = self.simulator.market_ms()
        self.simulator.fault("rest_down", seconds=60.0)
        self.simulator.fault("cut", seconds=self.chance.uniform(2.2, 3.0))  # more than a market minute

        async def has_hole() -> bool:
            candles, _ = await stored(begin_ms - MINUTE_MS)
            return any(one.quality is CandleQuality.PARTIAL for one in candles)

        await self.platform.until(has_hole, "a minute to close with a hole", 60)
        self.simulator.fault("rest_down", seconds=0.0)

    async def settled(self, end_ms: int, seed: int) -> tuple[list[Candle], list[Candle]]:
        """Wait until no minute before the time is wrong, partial or missing; the candles and all their revisions."""
        deadline = time.monotonic() + SETTLED_SECONDS_MAX
        while True:
            candles, revisions = await stored(0)
            seen = [one for one in candles if one.open_time_ms < end_ms]
            wrong = await wrong_minutes(self.simulator, seen, end_ms)
            whole = {(one.symbol, one.open_time_ms) for one in seen if one.quality is not CandleQuality.PARTIAL}
            live = range(min(one.open_time_ms for one in seen), end_ms, MINUTE_MS)
            missing = [(symbol, at) for symbol in SYMBOLS for at in live if (symbol, at) not in whole]
            if not wrong and not missing:
                return seen, revisions
            assert time.monotonic() < deadline, (f"seed {seed}", wrong[:5], missing[:5])
            await asyncio.sleep(1)


async def stored(from_ms: int) -> tuple[list[Candle], list[Candle]]:
    """The newest one-minute candles from the time on, and every kept revision of those that have several."""
    async with open_store_and_cache(ServiceSettings(), load_topology(), ScaledClock()) as (store, _):
        reader = CandleStore(store)
        candles = [
            one
            for symbol in SYMBOLS
            for one in await reader.between(EXCHANGE, symbol, Timeframe.M1, max(0, from_ms), 10**14)
        ]
        revisions = [
            old
            for one in candles
            if one.revision > 1
            for old in await reader.revisions(EXCHANGE, one.symbol, Timeframe.M1, one.open_time_ms)
        ]
    return candles, revisions


async def wrong_minutes(simulator: RunningSimulator, candles: list[Candle], end_ms: int) -> list[str]:
    """Candles folded from trades that differ from the venue's klines."""
    rest = bybit_rest(simulator.rest_url)
    found = []
    try:
        for symbol in SYMBOLS:
            mine = [candle for candle in candles if candle.symbol == symbol]
            start_ms = min(candle.open_time_ms for candle in mine)
            theirs = await rest.klines(symbol, Timeframe.M1, start_ms=start_ms, end_ms=end_ms)
            klines = {kline.open_time_ms: kline for kline in theirs}
            closes = {candle.close_time_ms: candle.close for candle in mine}
            for candle in mine:
                if candle.quality in _WITHOUT_TRADES:
                    continue
                apart = differences(
                    candle,
                    klines[candle.open_time_ms],
                    opens_at_previous_close=True,
                    previous_close=closes.get(candle.open_time_ms),
                )
                found += [f"{symbol} {candle.open_time_ms} {candle.quality}: {one}" for one in apart]
    finally:
        await rest.close()
    return found


async def test_kills_and_cuts_leave_no_wrong_candle(
    servers: dict[str, ServerProcess], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    with running_simulator(
        speed=SPEED, seed=seed, symbols=SYMBOLS, origin_market_ms=BEGIN_MS, ping_timeout_s=0
    ) as simulator:
        clock = simulator.state()
        platform = Platform(
            tmp_path,
            symbols=SYMBOLS,
            environment={
                "BYBIT_WEBSOCKET_URL": simulator.websocket_url,
                "BYBIT_REST_URL": simulator.rest_url,
                "MARKET_CLOCK_ORIGIN_WALL_MS": str(clock["origin_wall_ms"]),
                "MARKET_CLOCK_ORIGIN_MARKET_MS": str(clock["origin_market_ms"]),
                "MARKET_CLOCK_SPEED": str(SPEED),
                "BACKFILL_CANDLES": "30",
                "AGGREGATOR_LEASE_TTL_MS": "1000",
                "REPAIR_EVERY_SECONDS": "1",
                "REST_DEADLINE_SECONDS": "2",
                "INGESTION_REFILL_SECONDS_MAX": "3",
                "INGESTION_RETRY_SECONDS_MAX": "0.5",
                "INGESTION_SILENCE_SECONDS": "2",
            },
        )
        play = Play(platform, simulator, servers, seed)
        for name in SERVICES:
            platform.start(name)
        try:
            await platform.until(_has_candles, "the first candles", 60.0)
            await play.strike_until(simulator.market_ms() + MARKET_MINUTES * MINUTE_MS)
            await play.make_sure()
            end_ms = simulator.market_ms() // MINUTE_MS * MINUTE_MS
            seen, revisions = await play.settled(end_ms, seed)
        finally:
            platform.stop_all()
    assert play.struck["kill"] > 0
    assert any(one.quality is CandleQuality.PARTIAL for one in revisions), "no minute closed with a hole"
    assert {one.quality for one in seen} & {CandleQuality.REPAIRED, CandleQuality.REPAIRED_KLINE}, "no repair"
    late = [one for one in seen if one.symbol == SYMBOLS[0] and one.revision > 1]
    assert late, "no minute was corrected"


async def _has_candles() -> bool:
    settings = ServiceSettings()
    if os.environ.get("STORE") != "bigtable" and not (settings.data_dir / "tracker.db").exists():
        return False  # the embedded file is made by the first process
    candles, _ = await stored(0)
    return {one.symbol for one in candles} == set(SYMBOLS)
