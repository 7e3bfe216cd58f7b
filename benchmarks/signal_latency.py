"""From candles to Telegram: `CandlesClosed` published -> first byte of the HTTP request at the server.

Logic engine, notifier and Telegram server are processes of their own on one SQLite file; this process plays the
aggregator: each round it stores and announces one minute of 300 symbols, 10 of which signal. Rate budgets are off.

    python -m benchmarks.signal_latency [--rounds 20]
"""

import argparse
import asyncio
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from shared.bus.sqlite import SqliteBus
from shared.domain.candles import Candle, CandleQuality
from shared.domain.events import CandlesClosed
from shared.domain.timeframe import MINUTE_MS, Timeframe, minute_ms
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.sqlite import SqliteStore
from tests.end_to_end.platform import CHAT, EXCHANGE, Platform
from tests.support.telegram_server import TOKEN, TelegramServerProcess

SYMBOLS = tuple(f"S{number:03d}USDT" for number in range(300))
SIGNALS = 10
HISTORY = 150
ROUND_SECONDS = 2.0
RESULTS = Path(__file__).parent / "results" / "signal_latency.json"


def a_candle(symbol: str, open_time_ms: int, number: int, *, spike: bool) -> Candle:
    """Prices fall evenly, so that the RSI is 0; a signal comes with the volume spike."""
    close = round(1000 * 0.9999**number, 2)
    return Candle(
        exchange=EXCHANGE,
        symbol=symbol,
        timeframe=Timeframe.M1,
        open_time_ms=open_time_ms,
        open=round(close + 0.1, 2),
        high=round(close + 0.2, 2),
        low=close,
        close=close,
        volume=Decimal(10_000 if spike else 100),
        quote_volume=Decimal(100_000),
        trade_count=10,
        quality=CandleQuality.COMPLETE,
        revision=1,
    )


async def measure(folder: Path, telegram: TelegramServerProcess, rounds: int) -> list[float]:
    """Latencies in ms, one per signal."""
    start_ms = minute_ms(time.time_ns() // 1_000_000)
    wall_ms = time.time_ns() // 1_000_000 + 8_000  # the processes have started by then
    speed = MINUTE_MS / 1000 / ROUND_SECONDS
    clock = {
        "MARKET_CLOCK_ORIGIN_WALL_MS": str(wall_ms),
        "MARKET_CLOCK_ORIGIN_MARKET_MS": str(start_ms),
        "MARKET_CLOCK_SPEED": str(speed),
    }
    environment = {
        **clock,
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": telegram.base_url,
        "TELEGRAM_CHAT_ID": str(CHAT),
        "RATE_FACTOR": "1000",  # the way to the server is measured, not Telegram's limit of one message a second
    }
    platform = Platform(folder, symbols=SYMBOLS, environment=environment)
    (folder / "data").mkdir()
    database = open_database(folder / "data" / "tracker.db")
    market_clock = ScaledClock(origin_wall_ms=wall_ms, origin_market_ms=start_ms, speed=speed)
    candles = CandleStore(SqliteStore(database, load_topology(), market_clock))
    bus = SqliteBus(database, load_topology(), market_clock)
    for number in range(HISTORY):
        open_time_ms = start_ms - (HISTORY - number) * MINUTE_MS
        await candles.save([a_candle(symbol, open_time_ms, number, spike=False) for symbol in SYMBOLS], fence=1)
    published_ns: dict[str, int] = {}
    try:
        for name in ("logic_engine", "notifier"):
            platform.start(name)
        for number in range(rounds):
            open_time_ms = start_ms + number * MINUTE_MS
            signalling = set(SYMBOLS[number * SIGNALS : (number + 1) * SIGNALS])
            closing = [a_candle(s, open_time_ms, HISTORY + number, spike=s in signalling) for s in SYMBOLS]
            due_s = wall_ms / 1000 + (number + 1) * ROUND_SECONDS
            await asyncio.sleep(max(0.0, due_s - time.time()))
            await candles.save(closing, fence=1)
            await bus.publish("candles-closed", [_closed(candle) for candle in closing])
            published_ns.update(dict.fromkeys(signalling, time.time_ns()))
        await asyncio.sleep(3)
    finally:
        platform.stop_all()
        await database.close()
    # Entries alone: the notice that the platform is up names symbols, too.
    calls = [
        call
        for call in telegram.state().calls
        if call.method == "sendMessage" and "SIGNAL</b>" in str(call.parameters.get("text"))
    ]
    return [
        (call.first_byte_wall_ns - published_ns[symbol]) / 1e6
        for call in calls
        for symbol in published_ns
        if symbol in str(call.parameters.get("text"))
    ]


def _closed(candle: Candle) -> CandlesClosed:
    return CandlesClosed(
        exchange=candle.exchange, symbol=candle.symbol, close_time_ms=candle.close_time_ms, candles=(candle,)
    )


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with TelegramServerProcess(folder / "telegram.jsonl", chats=(CHAT,), token=TOKEN) as telegram:
            # The first round warms both processes up, as the first minute after a start does.
            latencies = asyncio.run(measure(folder, telegram, rounds + 1))[SIGNALS:]
    figures = {
        "signals": len(latencies),
        "expected": rounds * SIGNALS,
        **{f"p{share}_ms": round(float(np.percentile(latencies, share)), 1) for share in (50, 90, 99)},
        "max_ms": round(max(latencies), 1),
    }
    table = Table(title="CandlesClosed of 300 symbols published -> first byte at Telegram, 10 signals")
    for column in figures:
        table.add_column(column, justify="right")
    table.add_row(*(str(value) for value in figures.values()))
    Console().print(table)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


if __name__ == "__main__":
    main()
