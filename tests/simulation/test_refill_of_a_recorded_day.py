"""A recorded day with ranges of ids lost on the way, refilled from the simulator that serves the untouched tape: the whole
of ingestion and aggregator in one process, a day of virtual time.
"""

import asyncio
import contextlib
import csv
import itertools
import random
from bisect import bisect_left
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import services.aggregator.main as aggregator_main
import services.ingestion.main as ingestion_main
from services.aggregator.settings import Settings as AggregatorSettings
from services.ingestion.settings import IngestionSettings
from services.simulator import binance
from services.simulator.connections import Hub
from services.simulator.core.clock import MarketClock
from services.simulator.core.faults import FaultOrder
from services.simulator.core.market import Market
from services.simulator.core.tape_source import TapeSource
from services.simulator.handlers import build_app
from services.simulator.simulation import Cadence, Simulation
from services.simulator.tape_file import tape_lines
from shared.bus.memory import MemoryBus
from shared.domain.candles import Candle, CandleSource
from shared.domain.timeframe import MINUTE_MS, Timeframe
from shared.exchanges.venue import BINANCE_SPOT
from shared.runtime.service import ServiceContext
from shared.runtime.topology import load_topology
from shared.store.candles import CandleStore
from shared.store.memory import MemoryStore
from tests.support.simulation.binance_words import BinanceWords
from tests.support.simulation.loop import ServerClock, run_until, virtual_time
from tests.support.simulation.place import in_place
from tests.support.simulation.world import MemoryCache

TAPE = "tape/binance_spot_trades_2019-05-31.csv.gz"
DAY_MS, HOUR_MS = 1559260800000, 3_600_000
SYMBOLS = ("ADAUSDT", "EOSUSDT")
LOSSES, IDS_MAX = 25, 150
STEP_SECONDS = 10.0


class HubSocket:
    """A client of the simulator without a socket: the hub sends to it, the real feed receives from it."""

    def __init__(self, simulation: Simulation) -> None:
        self.connection_id = "in-process"
        self.topics: set[str] = set()
        self.silent = False
        self._simulation = simulation
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost: list[tuple[str, int]] = []

    def hear(self, text: str) -> bool:
        self._queue.put_nowait(text.encode())
        return True

    async def recv(self, *, decode: bool) -> bytes:
        del decode
        return await self._queue.get()

    async def send(self, data: bytes, *, text: bool) -> None:
        del text
        binance.answer(self._simulation, _Ear(self), data.decode())  # type: ignore[arg-type]  # an ear in place of a socket


class _Ear:
    """What the hub knows as a connection."""

    def __init__(self, socket: HubSocket) -> None:
        self.topics, self.silent, self.connection_id = socket.topics, False, socket.connection_id
        self.send = socket.hear


async def a_day(simulation: Simulation, store: MemoryStore, folder: Path, clock: ServerClock) -> list[int]:
    """Both services over the day; returns the market times of the losses."""
    bus = MemoryBus(load_topology(), clock, encode=False)
    (folder / "tracker.yaml").write_text(
        f"venues: {{binance-spot: {{symbols: [{', '.join(SYMBOLS)}]}}}}\n"
        "strategies: [{name: rsi_divergence, parameters: {mode: extreme}}]\n"
    )

    def context(name: str, settings: Any) -> ServiceContext[Any]:
        return ServiceContext(
            name=name,
            settings=settings,
            bus=bus,
            store=store,
            cache=MemoryCache(),
            clock=settings.clock(),
            topology=load_topology(),
            stopping=asyncio.Event(),
        )

    common: dict[str, Any] = {"data_dir": folder, "tracker_config": folder / "tracker.yaml", "instance_id": "one"}
    ingestion = context(
        "ingestion",
        IngestionSettings(**common, window_ms=10_000, heartbeat_ms=20_000, window_trades_max=5_000, silence_seconds=60),
    )
    aggregator = context(
        "aggregator",
        AggregatorSettings(
            **common,
            lease_ttl_ms=120_000,
            feed_freshness_seconds=600,
            status_every_seconds=600,
            repair_every_seconds=300,
        ),
    )
    running = [asyncio.ensure_future(ingestion_main.start(ingestion))]
    running.append(asyncio.ensure_future(aggregator_main.start(aggregator)))
    chance = random.Random(20190531)
    losses = sorted(
        (DAY_MS + chance.randrange(5 * MINUTE_MS, 24 * HOUR_MS - 10 * MINUTE_MS), symbol, chance.randint(1, IDS_MAX))
        for symbol in SYMBOLS
        for _ in range(LOSSES)
    )
    waiting = list(losses)
    while clock.market_ms() < DAY_MS + 24 * HOUR_MS + 3 * MINUTE_MS:
        while waiting and waiting[0][0] <= clock.market_ms():
            _, symbol, count = waiting.pop(0)
            simulation.apply(FaultOrder(fault="lose", symbol=symbol, count=count))
        simulation.step()
        await asyncio.sleep(STEP_SECONDS)
        for task in running:
            if task.done():
                task.result()
    for one in (ingestion, aggregator):
        one.stopping.set()
    await asyncio.gather(*running)
    return [at_ms for at_ms, _, _ in losses]


@pytest.fixture(scope="module")
def day(
    market_data: Path, tmp_path_factory
) -> tuple[dict[str, list[Candle]], dict[str, list[Candle]], dict[str, set[int]]]:
    """The minutes, the hours, and the minutes touched by lost ids, by symbol."""
    lines = tape_lines(market_data / TAPE)
    source = TapeSource(lines, name=TAPE, origin_market_ms=DAY_MS, symbols=frozenset(SYMBOLS))
    folder = tmp_path_factory.mktemp("day")
    sent: dict[str, set[int]] = {symbol: set() for symbol in SYMBOLS}
    with virtual_time(DAY_MS) as (loop, _):
        clock = ServerClock(loop)
        market_clock = MarketClock(origin_wall_ms=DAY_MS, origin_market_ms=DAY_MS, speed=1.0)
        cadence = Cadence(ticker_ms=1_000, kline_ms=60_000)
        simulation = Simulation(
            Market(source), market_clock, Hub(), schedules=[], cadence=cadence, wall_ms=lambda: loop.time() * 1000
        )
        publish = simulation.hub.publish

        def listened(topic: str, text: str) -> int:
            if topic.endswith("@trade"):
                number = int(text.partition('"t":')[2].partition(",")[0])
                sent[topic.removesuffix("@trade").upper()].add(number)
            return publish(topic, text)

        simulation.hub.publish = listened  # type: ignore[method-assign]  # the simulator is heard without a socket

        @contextlib.asynccontextmanager
        async def connect(*_: Any, **__: Any) -> AsyncIterator[HubSocket]:
            yield HubSocket(simulation)

        transport = httpx.ASGITransport(build_app(simulation, ping_timeout_s=0, frames_queued_max=1))
        store = MemoryStore(load_topology(), clock)
        with in_place(connect, transport, BinanceWords()):
            run_until(loop, a_day(simulation, store, folder, clock))

        async def read(timeframe: Timeframe) -> dict[str, list[Candle]]:
            candles = CandleStore(store)
            end_ms = DAY_MS + 24 * HOUR_MS
            return {
                symbol: await candles.between(BINANCE_SPOT, symbol, timeframe, DAY_MS, end_ms) for symbol in SYMBOLS
            }

        minutes, hours = run_until(loop, read(Timeframe.M1)), run_until(loop, read(Timeframe.H1))
    return minutes, hours, {symbol: touched(source, symbol, sent[symbol]) for symbol in SYMBOLS}


def touched(source: TapeSource, symbol: str, sent: set[int]) -> set[int]:
    """Minutes from the trade before each lost id to the one after, from ids and times of the untouched tape."""
    ids = source.numbers(symbol)
    assert ids is not None
    times = source.rows(symbol, 0, len(ids)).at_ms.tolist()
    numbers = ids.tolist()
    arrived = sorted(sent)
    found: set[int] = set()
    for before, after in itertools.pairwise(arrived):
        if after > before + 1:
            first, last = times[bisect_left(numbers, before)], times[bisect_left(numbers, after)]
            lost = times[bisect_left(numbers, before) + 1 : bisect_left(numbers, after)]
            assert first <= last
            found.update(at_ms - at_ms % MINUTE_MS for at_ms in lost)
    return found


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_hour_equals_the_exchanges_again(day, market_data, symbol):
    _, hours, _ = day
    [file] = (market_data / "candle_truth").glob(f"binance_spot_{symbol}_1h_2019*.csv")
    with file.open() as lines:
        truth = {int(row["open_time"]): row for row in csv.DictReader(lines)}

    assert len(hours[symbol]) == 24
    for candle in hours[symbol]:
        row = truth[candle.open_time_ms]
        prices = (candle.open, candle.high, candle.low, candle.close)
        assert prices == tuple(float(row[name]) for name in ("open", "high", "low", "close"))
        assert (candle.volume, candle.quote_volume) == (Decimal(row["volume"]), Decimal(row["quote_volume"]))
        assert candle.trade_count == int(row["trades"])
        assert candle.missing_minutes == 0


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_refilled_minute_says_so(day, symbol):
    minutes, _, lost = day
    refilled = {candle.open_time_ms for candle in minutes[symbol] if candle.source is CandleSource.REFILL}

    assert len(lost[symbol]) >= LOSSES // 2
    assert lost[symbol] <= refilled
    assert len(minutes[symbol]) == 1440
    assert all(candle.usable for candle in minutes[symbol])
