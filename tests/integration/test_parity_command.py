"""`cst parity` as a nightly job runs it: on the embedded file, telling `drift 0` or the first difference on system-events."""

import asyncio
import os

import msgspec
import pytest
import yaml

from cli.main import main
from cli.supervisor.nightly import DELAY_MS, Nightly
from services.logic_engine.configured import active_strategies
from shared.bus.sqlite import SqliteBus
from shared.domain.timeframe import DAY_MS, Timeframe
from shared.runtime.clock import EventClock, ScaledClock
from shared.runtime.config import load_config
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.decisions import DecisionStore, decision_key
from shared.store.port import Write
from shared.store.sqlite import SqliteStore
from tests.support.parity import live, recorded

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
MARCH_1_MS = 1_677_628_800_000


@pytest.fixture
def followed(tmp_path, market_data, monkeypatch):
    """Two strategies lived through the last two hours of 900 minutes of 2023-03-01. Gives work on the same file."""
    file = recorded(market_data, MINUTES, tmp_path / "BTCUSDT_1m.csv", skip=0, count=900)
    config = tmp_path / "tracker.yaml"
    content = {"strategies": [{"name": name, "timeframe": "5m"} for name in ("donchian", "supertrend")]}
    content["venues"] = {"binance-spot": {"symbols": ["BTCUSDT"]}}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TRACKER_CONFIG", str(config))
    topology = load_topology()

    async def with_file(work):
        database = open_database(tmp_path / "tracker.db")
        clock = ScaledClock()
        found = await work(SqliteStore(database, topology, clock), SqliteBus(database, topology, clock))
        await database.close()
        return found

    strategies = list(active_strategies(load_config(config)))
    asyncio.run(with_file(lambda store, bus: live(store, bus, file, strategies, minutes=120)))
    return with_file


async def told(_, bus):
    deliveries = await bus.pull("notifier--system-events", max_messages=10, wait_seconds=1)
    await bus.acknowledge(deliveries)
    return [delivery.event for delivery in deliveries]


async def forge(store, _):
    """The third Decision of donchian says another score than it was made with."""
    series = ("donchian", "binance-spot", "BTCUSDT", Timeframe.M5)
    decision = (await DecisionStore(store).between(*series, MARCH_1_MS, MARCH_1_MS + DAY_MS))[3]
    row = await store.get("decisions", decision_key(decision))
    forged = msgspec.structs.replace(decision, score=decision.score + 1)
    value = row.value[:1] + msgspec.msgpack.encode(forged)
    await store.write([Write(table="decisions", key=row.key, value=value, expected_revision=row.revision)])


def test_parity_says_drift_0_and_publishes_it(followed, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["parity", "--from", "2023-03-01", "--to", "2023-03-02", "--publish"])
    assert ended.value.code == 0
    said = capsys.readouterr().out.strip()
    assert said.startswith("drift 0: 48 decisions and ")

    [event] = asyncio.run(followed(told))
    assert (event.kind, event.severity.value, event.text) == ("no_drift", "info", said)


def test_the_night_after_a_day_tells_its_drift_once(followed, tmp_path):
    clock, run_dir = EventClock(), tmp_path / "run"
    clock.now_ms = MARCH_1_MS + DAY_MS // 2

    def job():
        return Nightly(clock, run_dir, tmp_path / "logs" / "parity.log", os.environ, fresh=False)

    async def night():
        nightly = job()
        said = await nightly.tick()
        while said is None and nightly.running:
            await asyncio.sleep(0.05)
            said = await nightly.tick()
        return said

    assert asyncio.run(night()) is None  # the day is not over
    clock.now_ms = MARCH_1_MS + DAY_MS + DELAY_MS - 1
    assert asyncio.run(night()) is None  # perhaps not all is decided
    clock.now_ms += 1
    assert asyncio.run(night()).startswith("parity: drift 0: 48 decisions")
    assert asyncio.run(night()) is None  # told

    asyncio.run(followed(forge))
    (run_dir / "parity.day").write_text(str(MARCH_1_MS), encoding="utf-8")  # as if nothing had run that night
    clock.now_ms += DAY_MS
    assert "drift 1: 48 decisions" in asyncio.run(night())
    calm, alarm = asyncio.run(followed(told))
    assert (calm.kind, alarm.kind, alarm.severity.value) == ("no_drift", "drift", "error")
    assert "2023-03-01 00:00 to 2023-03-03 00:00 UTC" in alarm.text
    assert "score was" in alarm.text
