"""`cst export`: each kind as each format is what the store holds, read back by another program's eyes."""

import asyncio
import csv
import json

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from cli.main import main
from services.logic_engine.configured import active_strategies
from shared.bus.sqlite import SqliteBus
from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.minute_trades import MinuteTrades
from shared.domain.timeframe import Timeframe
from shared.domain.trades import TradeSource
from shared.runtime.clock import ScaledClock
from shared.runtime.config import load_config
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore
from shared.store.signals import SignalStore
from shared.store.sqlite import SqliteStore
from shared.store.tape import TapeStore
from tests.support.parity import live, recorded

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
PLACE = ("binance-spot", "BTCUSDT")
MINUTE_MS = 1_677_628_800_000
TRADES = [("7", 100, 23_130.25, 5, True), ("8", 100, 23_130.0, 12, False), ("10", 59_999, 23_131.5, 1, True)]


@pytest.fixture(scope="module")
def followed(tmp_path_factory, market_data):
    """A store that an engine has filled, with one minute of tape; the folder, and what is in it by kind."""
    folder = tmp_path_factory.mktemp("export")
    file = recorded(market_data, MINUTES, folder / "BTCUSDT_1m.csv", skip=0, count=900)
    content = {"strategies": [{"name": name, "timeframe": "5m"} for name in ("donchian", "supertrend")]}
    content["venues"] = {PLACE[0]: {"symbols": [PLACE[1]]}}
    (folder / "tracker.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    strategies = list(active_strategies(load_config(folder / "tracker.yaml")))

    async def fill():
        database, topology = open_database(folder / "tracker.db"), load_topology()
        store = SqliteStore(database, topology, ScaledClock())
        await live(store, SqliteBus(database, topology, ScaledClock()), file, strategies, minutes=120)
        await store.write(TapeStore(store).writes_of([a_minute()]))
        reads = DecisionStore(store)
        decisions = [await reads.between(one.name, *PLACE, one.timeframe, 0, EPOCH_MS_MAX) for one in strategies]
        held = {
            "signals": [record.signal for record in await SignalStore(store).all()],
            "decisions": [decision for found in decisions for decision in found],
            "candles": await CandleStore(store).between(*PLACE, Timeframe.M1, 0, EPOCH_MS_MAX),
        }
        await database.close()
        return {kind: [msgspec.to_builtins(one, enc_hook=str) for one in found] for kind, found in held.items()}

    names = ("trade_id", "traded_at_ms", "price", "quantity_units", "taker_is_buyer")
    trades = [dict(zip(names, (int(one[0]), MINUTE_MS + one[1], *one[2:]), strict=True)) for one in TRADES]
    head = {"exchange": PLACE[0], "symbol": PLACE[1]}
    return folder, {**asyncio.run(fill()), "trades": [{**head, **one, "quantity_scale": 3} for one in trades]}


def a_minute():
    ids, times, prices, units, buyers = zip(*TRADES, strict=True)
    columns = {
        "trade_id": np.array([int(one) for one in ids]),
        "traded_at_ms": np.array(times) + MINUTE_MS,
        "price": np.array(prices),
        "quantity_units": np.array(units),
        "taker_is_buyer": np.array(buyers),
        "venue_sequence": np.zeros(len(ids), dtype=np.int64),
        "tie_rank": np.arange(len(ids)),
    }
    place = {"exchange": PLACE[0], "symbol": PLACE[1], "minute_ms": MINUTE_MS}
    session = {"session": "a", "session_started_at_ms": MINUTE_MS, "sequence": 0, "source": TradeSource.STREAM}
    return MinuteTrades.of_columns(columns, **place, **session, price_scale=2, quantity_scale=3)


def read(file, file_format):
    if file_format == "jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if file_format == "parquet":
        return pq.read_table(file).to_pylist()
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def cell(value, file_format):
    """A value as the format can hold it: a table's cell holds no lists, CSV nothing but text."""
    if file_format == "jsonl":
        return json.loads(msgspec.json.encode(value))
    if isinstance(value, list | dict | tuple):
        value = msgspec.json.encode(value).decode()
    if file_format == "csv":
        return "" if value is None else str(value)
    return value


@pytest.mark.parametrize("file_format", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("kind", ["signals", "decisions", "trades", "candles"])
def test_what_is_stored_is_what_is_written(followed, tmp_path, monkeypatch, kind, file_format):
    folder, held = followed
    monkeypatch.setenv("DATA_DIR", str(folder))
    out = tmp_path / f"{kind}.{file_format}"
    with pytest.raises(SystemExit) as ended:
        main(["export", kind, "--format", file_format, "--out", str(out), "--config", str(folder / "tracker.yaml")])
    assert ended.value.code == 0

    found = read(out, file_format)
    assert len(found) == len(held[kind]) > 1
    empty = "" if file_format == "csv" else None
    for row, record in zip(found, held[kind], strict=True):
        assert {name: value for name, value in row.items() if value != empty} == {
            name: cell(value, file_format) for name, value in record.items() if cell(value, file_format) != empty
        }
