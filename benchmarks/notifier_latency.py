"""How soon a signal reaches Telegram: event handed to the handler -> first byte of the HTTP request at the server.

Each round closes 300 symbols (their CandlesClosed events go over the same SQLite file) and hands 10 SignalOpened to the
notifier in one list. The server is a process of its own; rate budgets are off. Three cases: no chart being drawn, charts
drawn without pause in a worker process (what the product does), and in a thread (what it is compared with).

    python -m benchmarks.notifier_latency [--rounds 30]
"""

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from services.notifier.chart_drawing import draw_chart
from services.notifier.chart_pool import ProcessChartPool
from services.notifier.core.chart_model import build_chart_model
from services.notifier.core.chart_values import ChartModel
from services.notifier.core.chats import ChatProfile
from services.notifier.messengers.telegram import TelegramMessenger, build_bot, close_bot
from services.notifier.notifier import Notifier
from shared.bus.sqlite import SqliteBus
from shared.cache.sqlite import SqliteCache
from shared.domain.events import CandlesClosed, SignalOpened
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.sqlite import SqliteStore
from tests.support.signals import FIRST_OPEN_MS, a_signal, closed, some_candles
from tests.support.telegram_server import TOKEN, TelegramServerProcess

CHAT = 1001
SYMBOLS = 300
SIGNALS = 10


class ThreadChartPool:
    """The alternative: one thread of this process."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1)

    async def draw(self, model: ChartModel) -> bytes:
        """The picture as PNG."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, draw_chart, model)

    async def close(self) -> None:
        """End the thread."""
        self._executor.shutdown(wait=True)


async def measure(server: TelegramServerProcess, folder: Path, pool: Any, rounds: int) -> list[float]:
    """Milliseconds from handing over to first byte, one figure per signal."""
    database = open_database(folder / "tracker.db")
    clock, topology = ScaledClock(), load_topology()
    store, bus = SqliteStore(database, topology, clock), SqliteBus(database, topology, clock)
    bot = build_bot(TOKEN, server.base_url, timeout_seconds=5, connections=16, keepalive_seconds=20, poll_seconds=1)
    notifier = Notifier(
        store=store,
        messenger=TelegramMessenger(bot),
        clock=clock,
        chats=(ChatProfile(chat=str(CHAT), pictures=False),),
        log=structlog.get_logger(),
        owner="benchmark",
        cache=SqliteCache(database, clock),
    )
    stopping = asyncio.Event()
    sender = asyncio.create_task(notifier.run(stopping))
    async with drawing(pool):
        handed_ns = await _rounds(notifier, bus, rounds)
        await server.wait_until_async(lambda state: len(state.messages_of(CHAT)) >= len(handed_ns), timeout_s=60)
    stopping.set()
    await sender
    await close_bot(bot)
    await database.close()
    return _latencies(server, handed_ns)


async def _rounds(notifier: Notifier, bus: SqliteBus, rounds: int) -> dict[str, int]:
    """The monotonic time at which each signal was handed over, by signal id."""
    handed_ns: dict[str, int] = {}
    for number in range(rounds + 1):
        open_ms = FIRST_OPEN_MS + number * 60_000
        closes = [
            CandlesClosed(
                exchange=candle.exchange, symbol=candle.symbol, close_time_ms=candle.close_time_ms, candles=(candle,)
            )
            for candle in (some_candles(f"S{index}USDT", count=1)[0] for index in range(SYMBOLS))
        ]
        signals = [a_signal(f"S{index}USDT", candle_open_time_ms=open_ms) for index in range(SIGNALS)]
        publishing = asyncio.create_task(bus.publish("candles-closed", closes))
        started_ns = time.monotonic_ns()
        await notifier.handle([SignalOpened(signal=signal) for signal in signals])
        if number:  # the first round opens connections and is left out
            handed_ns |= {signal.signal_id: started_ns for signal in signals}
        await publishing
        await asyncio.sleep(0.4)
    return handed_ns


def _latencies(server: TelegramServerProcess, handed_ns: dict[str, int]) -> list[float]:
    found = []
    for call in server.calls("sendMessage"):
        text = str(call.parameters.get("text", ""))
        for signal_id, started_ns in handed_ns.items():
            if signal_id in text:
                found.append((call.first_byte_monotonic_ns - started_ns) / 1e6)
    return found


@contextlib.asynccontextmanager
async def drawing(pool: Any) -> AsyncIterator[None]:
    """Charts without pause, if there is a pool."""
    if pool is None:
        yield
        return
    candles = some_candles()
    model = build_chart_model(closed(a_signal(entry_price=candles[-1].close)), candles)
    started = time.perf_counter()
    await pool.draw(model)
    first_s = time.perf_counter() - started
    spent: list[float] = []

    async def for_ever() -> None:
        while True:
            begun = time.perf_counter()
            await pool.draw(model)
            spent.append(time.perf_counter() - begun)

    task = asyncio.create_task(for_ever())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await pool.close()
    print(f"    charts: first {first_s * 1000:.0f} ms, then {np.median(spent) * 1000:.0f} ms each ({len(spent)} drawn)")


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(
        f"{SIGNALS} signals among {SYMBOLS} closing symbols, {rounds} rounds; handed over -> first byte at the server"
    )
    for name, make_pool in (
        ("no charts", None),
        ("charts in a process", ProcessChartPool),
        ("charts in a thread", ThreadChartPool),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            with TelegramServerProcess(path / "telegram.jsonl", chats=(CHAT,), token=TOKEN) as server:
                found = asyncio.run(measure(server, path, make_pool() if make_pool else None, rounds))
        figures = " ".join(f"p{rank} {np.percentile(found, rank):.1f}" for rank in (50, 90, 99))
        print(f"{name}: {figures} max {max(found):.1f} ms ({len(found)} messages); this process {resident_mb():.0f} MB")


if __name__ == "__main__":
    main()
