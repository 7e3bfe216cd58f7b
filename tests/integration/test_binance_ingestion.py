"""Ingestion of a venue that numbers its trades, against the simulator serving a tape: cuts, lost frames, restarts, REST."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.ingestion.main import start
from services.ingestion.settings import IngestionSettings
from shared.domain.coverage import SessionCoverage, merged_spans
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.domain.trades import TradeBatch, TradeSource
from shared.exchanges.binance.rest import BinanceRest
from shared.exchanges.registry import venue_of
from shared.runtime.service import open_context
from tests.support.simulator import RunningSimulator, running_simulator

RAW = "aggregator--raw-tick-data-binance"
SYMBOLS = ("BTCUSDT", "ADAUSDT")
START_MS = 1_559_260_800_000
SPEED = 20.0


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of two symbols with consecutive ids."""
    source = random.Random(5)
    rows = []
    for symbol, first_id, mean_ms in (("BTCUSDT", 1_000, 400), ("ADAUSDT", 70, 5_000)):
        at_ms, number, price = START_MS, first_id, 8_000.0
        while at_ms < START_MS + 3_600_000:
            price = max(1.0, price + source.choice([-0.5, 0, 0.5]))
            maker = source.choice(["true", "false"])
            rows.append((at_ms, symbol, number, f"{price:.2f}", f"{source.randint(1, 900) / 1000:.3f}", maker))
            at_ms += source.randint(0, 2 * mean_ms)
            number += 1
    rows.sort()
    path = tmp_path_factory.mktemp("tape") / "tape.csv"
    lines = ["event_time,symbol,trade_id,price,quantity,trade_time,buyer_market_maker"]
    lines += [f"{at},{symbol},{number},{p},{q},{at},{maker}" for at, symbol, number, p, q, maker in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def simulator(tape: Path) -> Iterator[RunningSimulator]:
    with running_simulator(tape=tape, speed=SPEED, origin_market_ms=START_MS) as running:
        yield running


class Reader:
    def __init__(self, context: Any) -> None:
        self._context = context
        self.batches: list[TradeBatch] = []

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            found = await self._context.bus.pull(RAW, max_messages=500, wait_seconds=0.1)
            self.batches += [item.event for item in found]
            await self._context.bus.acknowledge(found)

    def ids(self, symbol: str, source: TradeSource | None = None) -> set[int]:
        chosen = [batch for batch in self.batches if source is None or batch.source is source]
        return {row.trade_id for batch in chosen for row in batch.rows() if row.symbol == symbol}

    def spans(self, symbol: str) -> tuple[tuple[int, int], ...]:
        sessions: dict[str, SessionCoverage] = {}
        for batch in self.batches:
            if symbol in batch.symbols:
                sessions[batch.session] = sessions.get(batch.session, SessionCoverage.beginning(batch)).joined(batch)
        return merged_spans(tuple(span for session in sessions.values() for span in session.asserted))

    def contiguous_from(self, symbol: str) -> bool:
        ids = self.ids(symbol)
        return bool(ids) and len(ids) == max(ids) - min(ids) + 1


@contextlib.asynccontextmanager
async def ingesting(folder: Path, simulator: RunningSimulator) -> AsyncIterator[Reader]:
    config = folder / "tracker.yaml"
    config.write_text(
        f"venues: {{binance-spot: {{symbols: [{', '.join(SYMBOLS)}, NOPEUSDT]}}}}\n"
        "strategies: [{name: rsi_divergence, parameters: {mode: extreme}}]\n"
    )
    clock = simulator.state()
    settings = IngestionSettings(
        data_dir=folder,
        tracker_config=config,
        binance_websocket_url=f"ws://127.0.0.1:{simulator.port}/stream",
        binance_rest_url=simulator.rest_url,
        market_clock_origin_wall_ms=clock["origin_wall_ms"],
        market_clock_origin_market_ms=clock["origin_market_ms"],
        market_clock_speed=SPEED,
        retry_seconds_max=0.3,
        instance_id="test",
    )
    async with open_context("ingestion", settings) as context:
        task = asyncio.create_task(start(context))
        reader = Reader(context)
        try:
            yield reader
        finally:
            context.stopping.set()
            await asyncio.wait_for(task, 12)
            await reader.until(lambda: True)


async def test_every_id_arrives_whatever_is_cut_lost_or_restarted(simulator, tmp_path):
    async with ingesting(tmp_path, simulator) as first:
        await first.until(lambda: len(first.ids("BTCUSDT")) > 60)
        simulator.fault("lose", symbol="BTCUSDT", count=7)
        await first.until(lambda: simulator.state()["counters"].get("lose") == 7)
        simulator.fault("cut", seconds=0.5)
        newest = max(first.ids("BTCUSDT"))
        await first.until(lambda: max(first.ids("BTCUSDT")) > newest + 150)
        await first.until(lambda: all(first.contiguous_from(symbol) for symbol in SYMBOLS))
    refilled = first.ids("BTCUSDT", TradeSource.REFILL)
    assert len(refilled) >= 7
    await asyncio.sleep(0.5)  # ten seconds of the market that nobody sees

    async with ingesting(tmp_path, simulator) as second:
        second.batches = list(first.batches)
        newest = max(first.ids("BTCUSDT"))
        await second.until(lambda: max(second.ids("BTCUSDT")) > newest + 150)
        await second.until(lambda: all(second.contiguous_from(symbol) for symbol in SYMBOLS))
        await second.until(lambda: all(len(second.spans(symbol)) == 1 for symbol in SYMBOLS))
    assert "NOPEUSDT" not in {symbol for batch in second.batches for symbol in batch.symbols}


async def test_rest_pages_by_id_and_closes_klines_under_binances_rule(simulator):
    rest = BinanceRest(simulator.rest_url)
    try:
        while await rest.server_time_ms() < START_MS + 200_000:
            await asyncio.sleep(0.1)
        page = await rest.trades_from("BTCUSDT", 1_100)
        assert [trade.trade_id for trade in page][:3] == [1_100, 1_101, 1_102]
        assert await rest.trades_from("BTCUSDT", 10**9) == []
        newest = await rest.recent_trades("ADAUSDT")
        assert newest[0].trade_id == 70
        [first, second, *_] = await rest.klines("BTCUSDT", Timeframe.M1, start_ms=START_MS, end_ms=START_MS + 120_000)
        trades = [trade for trade in await rest.trades_from("BTCUSDT", 1_000) if trade.traded_at_ms < START_MS + 60_000]
        prices = [float(trade.price_text) for trade in trades]
        assert (first.open, first.high, first.low, first.close) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )
        assert first.trade_count == len(trades)
        assert second.open_time_ms == START_MS + 60_000
        found = await rest.instruments(["BTCUSDT", "NOPEUSDT", "ADAUSDT"])
        assert sorted(found) == ["ADAUSDT", "BTCUSDT"]
        assert (found["BTCUSDT"].quantity_scale, found["BTCUSDT"].exchange) == (3, "binance-spot")
        with pytest.raises(PermanentError, match="Invalid symbol"):
            await rest.klines("NOPEUSDT", Timeframe.M1, start_ms=START_MS, end_ms=START_MS + 60_000)
    finally:
        await rest.close()


def test_an_unknown_venue_is_named_with_those_there_are():
    with pytest.raises(PermanentError, match=r"no such venue: kraken-spot; known are bybit-linear, binance-spot"):
        venue_of("kraken-spot")
