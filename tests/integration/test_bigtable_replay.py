"""Hours of a recorded day through aggregator, logic engine and notifier on Bigtable: the same bytes as in memory."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.replay import driver
from cli.replay.batches import BatchMaker
from cli.replay.outputs import Outputs
from cli.replay.reader import TapeReader
from services.logic_engine.configured import active_strategies
from shared.domain.timeframe import Timeframe
from shared.domain.topology import Topology
from shared.domain.wall_clock import WallClock
from shared.runtime.config import load_config
from shared.runtime.topology import load_topology
from shared.store.bigtable import BigtableStore
from shared.store.memory import MemoryStore
from shared.store.port import Store
from tests.support.emulators_store import PROJECT, fresh_bigtable

TAPE = "binance_spot_trades_2019-05-26.csv.gz"
SYMBOLS = re.compile(r",(BTCUSDT|ETHUSDT|EOSUSDT|ADAUSDT),")
HOURS = 5
MakeStore = Callable[[Topology, WallClock], Store]


@pytest.fixture
def some_hours(market_data: Path, tmp_path: Path) -> Path:
    """The day's first hours of four symbols."""
    cut = tmp_path / "tape.csv"
    with gzip.open(market_data / "tape" / TAPE, "rt") as lines, cut.open("w") as out:
        out.write(next(lines))
        first_ms = None
        for line in lines:
            at_ms = int(line.partition(",")[0])
            first_ms = first_ms or at_ms
            if at_ms > first_ms + HOURS * 3_600_000:
                break
            if SYMBOLS.search(line):
                out.write(line)
    return cut


async def replay(tape: Path, out: Path, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    monkeypatch.setattr(driver, "MemoryStore", make_store)
    strategies = active_strategies(load_config(Path("config/tracker.yaml")))
    reader = TapeReader(tape)
    maker = BatchMaker(reader, "binance-spot")
    pipeline = driver.Pipeline(strategies)
    await pipeline.run(maker, lambda: None)
    out.mkdir()
    outputs = Outputs(out, pipeline.store, "binance-spot", reader.symbols)
    counts = {timeframe.value: await outputs.write_candles(timeframe) for timeframe in Timeframe}
    counts["decisions"] = await outputs.write_decisions([(item.name, item.timeframe) for item in strategies])
    counts["signals"] = await outputs.write_signals()
    counts["messages"] = outputs.write_messages(pipeline.messenger)
    await pipeline.store.close()
    return counts


async def test_hours_of_a_day_are_the_same_bytes_on_bigtable(some_hours, bigtable_emulator, tmp_path, monkeypatch):
    in_memory = await replay(some_hours, tmp_path / "memory", MemoryStore, monkeypatch)
    async with fresh_bigtable(load_topology()) as instance:
        on_bigtable = await replay(
            some_hours, tmp_path / "bigtable", lambda *place: BigtableStore(PROJECT, instance, *place), monkeypatch
        )

    assert on_bigtable == in_memory
    assert in_memory["1m"] >= 4 * 60 * (HOURS - 1)
    assert in_memory["signals"] > 0
    files = sorted(file.name for file in (tmp_path / "memory").iterdir())
    assert files == sorted(file.name for file in (tmp_path / "bigtable").iterdir())
    for file in files:
        assert (tmp_path / "bigtable" / file).read_bytes() == (tmp_path / "memory" / file).read_bytes(), file
