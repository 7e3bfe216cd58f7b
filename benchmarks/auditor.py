"""What the auditor costs: 40 symbols, an hour of closed minutes and their roll-ups, klines over the real REST client and its JSON.

    .venv/bin/python benchmarks/auditor.py

Prints the share of one core that rounds every 10 market minutes take.
"""

import asyncio
import json
import time

import httpx
import numpy as np
import structlog

from services.aggregator.core.audit_plan import AuditLimits
from services.aggregator.core.limits import Limits
from services.aggregator.handlers import Aggregator
from shared.bus.memory import MemoryBus
from shared.domain.candles import Candle
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.domain.trades import TradeBatch
from shared.exchanges.binance.rest import BinanceRest
from shared.exchanges.http import RestLimits
from shared.exchanges.venue import BINANCE_SPOT
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.memory import MemoryStore

SYMBOLS = tuple(f"S{number:02d}USDT" for number in range(40))
START_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
MINUTES = 60
TRADES_A_MINUTE = 20


def a_minute(number: int, chance: np.random.Generator) -> TradeBatch:
    """One minute's trades of all symbols."""
    rows = len(SYMBOLS) * TRADES_A_MINUTE
    index = np.repeat(np.arange(len(SYMBOLS)), TRADES_A_MINUTE)
    ids = np.tile(np.arange(TRADES_A_MINUTE) + number * TRADES_A_MINUTE, len(SYMBOLS))
    offsets = np.tile(np.sort(chance.integers(0, MINUTE_MS, TRADES_A_MINUTE)), len(SYMBOLS))
    return TradeBatch(
        exchange=BINANCE_SPOT,
        session="benchmark",
        session_started_at_ms=START_MS,
        sequence=number,
        covers_from_ms=START_MS,
        watermark_ms=START_MS + (number + 1) * MINUTE_MS,
        symbols=SYMBOLS,
        price_scales=(2,) * len(SYMBOLS),
        quantity_scales=(3,) * len(SYMBOLS),
        symbol_index=index,
        trade_id=ids,
        price=np.round(chance.uniform(90, 110, rows), 2),
        quantity_units=chance.integers(1, 10_000, rows),
        traded_at_ms=START_MS + number * MINUTE_MS + offsets,
        taker_is_buyer=chance.random(rows) < 0.5,
        venue_sequence=ids,
        tie_rank=np.zeros(rows, dtype=np.int64),
    )


async def measure() -> tuple[float, int]:
    """CPU seconds of auditing the hour, and how many candles were verified."""
    topology, clock = load_topology(), EventClock(START_MS)
    store = MemoryStore(topology, clock)
    candles: dict[tuple[str, str], list[Candle]] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        parameters = request.url.params
        if request.url.path.endswith("time"):
            return httpx.Response(200, json={"serverTime": START_MS + 10**9})
        first, last = int(parameters["startTime"]), int(parameters["endTime"])
        rows = [
            [one.open_time_ms, *map(repr, (one.open, one.high, one.low, one.close)), str(one.volume),
             one.close_time_ms - 1, str(one.quote_volume), one.trade_count, "0", "0", "0"]
            for one in candles.get((parameters["symbol"], parameters["interval"]), [])
            if first <= one.open_time_ms <= last
        ]  # fmt: skip
        return httpx.Response(200, content=json.dumps(rows))

    rest = BinanceRest(
        "http://venue", limits=RestLimits(requests_per_second=1e6), transport=httpx.MockTransport(answer)
    )
    aggregator = Aggregator(
        store=store,
        bus=MemoryBus(topology, clock, encode=False),
        limits=Limits(),
        rest={BINANCE_SPOT: rest},
        audit_limits=AuditLimits(settle_ms=0, requests_max=8 * len(SYMBOLS)),
    )
    chance = np.random.default_rng(1)
    for number in range(MINUTES):
        await aggregator.append([a_minute(number, chance)])
        await aggregator.close_minutes()
        if not number:
            await aggregator.repair(deadline_seconds=60)
    for symbol in SYMBOLS:
        for timeframe in Timeframe:
            candles[symbol, timeframe.value] = await CandleStore(store).between(
                BINANCE_SPOT, symbol, timeframe, START_MS, START_MS + MINUTES * MINUTE_MS
            )
    begin = time.process_time()
    for _ in range(MINUTES // 10):
        await aggregator.audit()
    return time.process_time() - begin, int(str(aggregator.status(now_market_ms=START_MS)["verified"]))


def main() -> None:
    """Print the figure."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    seconds, verified = asyncio.run(measure())
    share = 100 * seconds / (MINUTES * 60)
    print(f"{verified} candles of {len(SYMBOLS)} symbols verified in {seconds:.2f} s: {share:.3f} % of one core")


if __name__ == "__main__":
    main()
