"""Real processes on the embedded file, killed and cut at random: every closed minute equals the venue's kline, or says why not.

CHAOS_SEEDS says how many histories (5); a failing one names its seed.
"""

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from shared.domain.candles import Candle, CandleQuality
from shared.domain.kline_rules import differences
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.exchanges.bybit.rest import bybit_rest
from tests.end_to_end.platform import Platform
from tests.support.simulator import RunningSimulator, running_simulator

SEEDS = int(os.environ.get("CHAOS_SEEDS", "5"))
SYMBOLS = ("BTCUSDT", "SEIUSDT")
SPEED = 30.0
MARKET_MINUTES = 5
SERVICES = ("ingestion", "aggregator")


async def disturb(platform: Platform, simulator: RunningSimulator, chance: random.Random, until_ms: int) -> int:
    """Kill and cut until this market time; returns how many were killed."""
    kills = 0
    while simulator.market_ms() < until_ms:
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        what = chance.choice([*SERVICES, *SERVICES, "cut", "silence", "rest_down", "duplicate"])
        if what in SERVICES:
            platform.kill(what)
            kills += 1
            await asyncio.sleep(chance.uniform(0, 0.5))
            platform.start(what)
        else:
            simulator.fault(what, seconds=chance.uniform(0, 1.0))
    return kills


async def wrong_minutes(platform: Platform, simulator: RunningSimulator, end_ms: int) -> tuple[list[str], list[Candle]]:
    """Whole candles that differ from the venue's klines, and all candles of the time."""
    rest = bybit_rest(simulator.rest_url)
    found, seen = [], []
    try:
        for symbol in SYMBOLS:
            candles = [
                one for one in await platform.read(lambda of, s=symbol: of.candles(s)) if one.open_time_ms < end_ms
            ]
            seen += candles
            start_ms = candles[0].open_time_ms
            theirs = await rest.klines(symbol, Timeframe.M1, start_ms=start_ms, end_ms=end_ms)
            klines = {kline.open_time_ms: kline for kline in theirs}
            closes = {candle.close_time_ms: candle.close for candle in candles}
            for candle in candles:
                if candle.quality in {CandleQuality.PARTIAL, CandleQuality.REPAIRED_KLINE}:
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
    return found, seen


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_kills_and_cuts_leave_no_wrong_candle(seed: int, tmp_path: Path):
    chance = random.Random(seed)
    begin_ms = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
    with running_simulator(
        speed=SPEED, seed=seed, symbols=SYMBOLS, origin_market_ms=begin_ms, ping_timeout_s=0
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
                "INGESTION_RETRY_SECONDS_MAX": "0.5",
                "INGESTION_SILENCE_SECONDS": "2",
            },
        )
        for name in SERVICES:
            platform.start(name)
        try:
            await platform.until(lambda: _has_candles(platform), "the first candles", 60.0)
            quiet_ms = simulator.market_ms() + MARKET_MINUTES * MINUTE_MS
            kills = await disturb(platform, simulator, chance, quiet_ms)
            while kills == 0:  # the machine was slow: no history without a kill
                platform.kill("aggregator")
                kills += 1
                platform.start("aggregator")
            end_ms = quiet_ms // MINUTE_MS * MINUTE_MS
            deadline = time.monotonic() + 90
            while True:
                wrong, seen = await wrong_minutes(platform, simulator, end_ms)
                whole = {(one.symbol, one.open_time_ms) for one in seen if one.quality is not CandleQuality.PARTIAL}
                live = range(min(one.open_time_ms for one in seen), end_ms, MINUTE_MS)
                missing = [(symbol, at) for symbol in SYMBOLS for at in live if (symbol, at) not in whole]
                if not wrong and not missing:
                    break
                assert time.monotonic() < deadline, (f"seed {seed}", wrong[:5], missing[:5])
                await asyncio.sleep(1)
        finally:
            platform.stop_all()
    assert kills > 0
    assert {one.quality for one in seen} & {CandleQuality.REPAIRED, CandleQuality.REPAIRED_KLINE}


async def _has_candles(platform: Platform) -> bool:
    if not (platform.folder / "data" / "tracker.db").exists():
        return False
    found = [len(await platform.read(lambda of, s=symbol: of.candles(s))) for symbol in SYMBOLS]
    return min(found) > 0
