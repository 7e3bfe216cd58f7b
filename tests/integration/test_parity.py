"""Live, replay and backtest make the same Decisions and signals of recorded candles, to the bit, for every strategy."""

import uuid

import msgspec
import pytest
import structlog

from cli.research.parity import drift_event
from research.parity.check import check
from shared.bus.pubsub import PubSubBus
from shared.bus.pubsub_admin import create_resources
from shared.bus.pubsub_client import PubSubClient
from shared.bus.sqlite import SqliteBus
from shared.domain.timeframe import Timeframe
from shared.runtime.clock import ScaledClock
from shared.runtime.topology import load_topology
from shared.sqlite.database import open_database
from shared.store.bigtable import BigtableStore
from shared.store.candles import CandleStore
from shared.store.decisions import DecisionStore, decision_key
from shared.store.port import Write
from shared.store.sqlite import SqliteStore
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import PROJECT, fresh_bigtable
from tests.support.parity import backtested, every_strategy, live, recorded, replayed, stored

MINUTES = "ohlcv/binance_spot_BTCUSDT_1m_2023-03_2023-04.csv.gz"
NEVER_ASKS = {"rsi_momentum"}  # in these days


@pytest.fixture
def six_days(tmp_path, market_data):
    """From 2023-03-19 on: the exchange's halt of 80 minutes on the 24th lies inside."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return recorded(market_data, MINUTES, tmp_path / "BTCUSDT_1m.csv", skip=18 * 1440, count=6 * 1440)


async def test_replay_and_backtest_agree_to_the_bit_for_every_strategy(six_days):
    strategies = every_strategy()

    decisions, signals = backtested(six_days, strategies)
    pipeline = await replayed(six_days, strategies)

    assert (decisions, signals) == await stored(pipeline.store, strategies)
    names = {active.name for active in strategies}
    said = [msgspec.json.decode(line) for line in decisions]
    assert {one["strategy"] for one in said} == names
    assert {one["strategy"] for one in said if one["action"] != "none" or one["alerts"]} == names - NEVER_ASKS
    assert any(not gate["passed"] for one in said for gate in one["gates"] if gate["name"] == "quality")
    ends = {one["exit"]["reason"] for one in map(msgspec.json.decode, signals) if one["exit"]}
    assert ends == {"tp", "sl", "expired", "reversed"}


async def test_live_and_backtest_agree_to_the_bit_on_the_embedded_file(six_days, tmp_path):
    strategies, topology = every_strategy(), load_topology()
    database = open_database(tmp_path / "tracker.sqlite")
    store, bus = SqliteStore(database, topology, ScaledClock()), SqliteBus(database, topology, ScaledClock())

    await live(store, bus, six_days, strategies, minutes=240)

    decisions, signals = backtested(six_days, strategies, minutes=240)
    assert (decisions, signals) == await stored(store, strategies)
    assert len(decisions) > 10 * len(strategies)
    assert len(signals) > 5

    await store_says_drift(store, strategies, six_days, decisions)
    await database.close()


async def store_says_drift(store, strategies, file, decisions):
    """`cst parity` on the same store: nothing differs, nothing is lost, a correction changes nothing, a forged record is named."""
    span = (file.candles[-240].open_time_ms - 900_000, file.candles[-1].close_time_ms)
    found = await check(store, strategies, [("binance-spot", "BTCUSDT")], *span)
    assert (found.differences, found.first, found.lost) == (0, None, 0)
    assert found.decisions == len(decisions)
    assert found.signals > 5

    candle = file.candles[-200]
    await CandleStore(store).save([msgspec.structs.replace(candle, high=candle.high * 1.01)], fence=None)
    found = await check(store, strategies, [("binance-spot", "BTCUSDT")], *span)
    assert (found.differences, found.lost) == (0, 0)

    reads = DecisionStore(store)
    stored_one = (await reads.between("donchian", "binance-spot", "BTCUSDT", Timeframe.M5, *span))[3]
    first, *others = stored_one.conditions
    forged = msgspec.structs.replace(first, margin=first.margin + 1e-12)
    changed = msgspec.structs.replace(stored_one, conditions=(forged, *others))
    row = await store.get("decisions", decision_key(stored_one))
    value = row.value[:1] + msgspec.msgpack.encode(changed)
    await store.write([Write(table="decisions", key=row.key, value=value, expected_revision=row.revision)])
    found = await check(store, strategies, [("binance-spot", "BTCUSDT")], *span)
    assert found.differences == 1
    event = drift_event(found, *span, at_ms=span[1])
    assert event.severity == "error"
    assert (
        f"donchian binance-spot BTCUSDT 5m {stored_one.open_time_ms}: conditions[0]({first.name}).margin was"
        in event.text
    )


async def test_live_and_backtest_agree_to_the_bit_on_the_emulators(six_days, bigtable_emulator):
    strategies, topology = every_strategy(), load_topology()
    with running_pubsub() as pubsub:
        client = await PubSubClient.connect(f"parity-{uuid.uuid4().hex[:8]}", pubsub.address)
        await create_resources(client, topology)
        bus = PubSubBus(client, topology, ScaledClock())
        async with fresh_bigtable(topology) as instance:
            store = BigtableStore(PROJECT, instance, topology, ScaledClock())

            await live(store, bus, six_days, strategies, minutes=60)

            decisions, signals = backtested(six_days, strategies, minutes=60)
            assert (decisions, signals) == await stored(store, strategies)
            assert len(decisions) > 2 * len(strategies)
            await store.close()
        await bus.close()
