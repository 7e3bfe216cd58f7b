"""`cst parity` as a nightly job runs it: on the embedded file, telling `drift 0` on system-events."""

import asyncio

import pytest
import yaml

from cli.main import main
from services.logic_engine.configured import active_strategies
from shared.bus.sqlite import SqliteBus
from shared.runtime.clock import ScaledClock
from shared.runtime.config import load_config
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.sqlite import SqliteStore
from tests.support.parity import live, recorded

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"


def test_the_nightly_job_says_drift_0_and_publishes_it(tmp_path, market_data, monkeypatch, capsys):
    file = recorded(market_data, MINUTES, tmp_path / "BTCUSDT_1m.csv", skip=0, count=900)
    config = tmp_path / "tracker.yaml"
    content = {"strategies": [{"name": name, "timeframe": "5m"} for name in ("donchian", "supertrend")]}
    content["venues"] = {"binance-spot": {"symbols": ["BTCUSDT"]}}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    topology = load_topology()

    async def with_file(work):
        database = open_database(tmp_path / "tracker.db")
        clock = ScaledClock()
        found = await work(SqliteStore(database, topology, clock), SqliteBus(database, topology, clock))
        await database.close()
        return found

    strategies = list(active_strategies(load_config(config)))
    asyncio.run(with_file(lambda store, bus: live(store, bus, file, strategies, minutes=120)))

    with pytest.raises(SystemExit) as ended:
        main(["parity", "--from", "2023-03-01", "--to", "2023-03-02", "--publish", "--config", str(config)])
    assert ended.value.code == 0
    said = capsys.readouterr().out.strip()
    assert said.startswith("drift 0: 48 decisions and ")

    async def told(_, bus):
        return await bus.pull("notifier--system-events", max_messages=10, wait_seconds=1)

    [delivery] = asyncio.run(with_file(told))
    assert (delivery.event.kind, delivery.event.severity.value, delivery.event.text) == ("no_drift", "info", said)
