"""The adapters under contract. A new one is one more parameter and one branch here; the suites stay as they are."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from shared.bus.memory import MemoryBus
from shared.bus.sqlite import SqliteBus
from shared.cache.redis import RedisCache
from shared.cache.sqlite import SqliteCache
from shared.runtime.clock import EventClock
from shared.runtime.topology import load_topology
from shared.sqlite.bulk import insert_rows
from shared.sqlite.database import Database, open_database
from shared.store.bigtable import BigtableStore
from shared.store.memory import MemoryStore
from shared.store.port import Store
from shared.store.sqlite import SqliteStore
from tests.contract.harness import START_MS, TOPOLOGY, BusCase, CacheCase, StoreCase, moving
from tests.contract.pubsub_case import pubsub_case
from tests.support.emulators import running_pubsub
from tests.support.emulators_store import PROJECT, ServerProcess, ageing, fresh_bigtable


@pytest.fixture(scope="session")
def pubsub_host() -> Iterator[str]:
    """host:port of the session's own Pub/Sub emulator."""
    with running_pubsub() as server:
        yield server.address


@pytest.fixture(params=["memory", "memory-objects", "sqlite-memory", "sqlite-file", "pubsub"])
async def bus_case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BusCase]:
    clock = EventClock(START_MS)
    if request.param == "pubsub":
        if request.node.get_closest_marker("waits"):
            pytest.skip("real leases take their time: test_bus_contract_waits.py runs these side by side")
        async with pubsub_case(request.getfixturevalue("pubsub_host")) as case:
            yield case
        return
    if request.param.startswith("memory"):
        bus = MemoryBus(TOPOLOGY, clock, encode=request.param == "memory")
        encodes = request.param == "memory"
        yield BusCase(bus=bus, pass_time=moving(clock), inject=_into_memory(bus), attributes_travel=encodes)
        await bus.close()
        return
    paths = {"sqlite-memory": ":memory:", "sqlite-file": tmp_path / "tracker.db"}
    database = open_database(paths[request.param])
    sqlite_bus = SqliteBus(database, TOPOLOGY, clock)
    yield BusCase(
        bus=sqlite_bus,
        pass_time=moving(clock),
        inject=_into_sqlite(sqlite_bus, database),
        another=lambda: SqliteBus(database, TOPOLOGY, clock),
    )
    await sqlite_bus.close()
    await database.close()


@pytest.fixture(params=["memory", "sqlite-memory", "sqlite-file", "bigtable"])
async def store_case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreCase]:
    clock = EventClock(START_MS)
    if request.param == "bigtable":
        request.getfixturevalue("bigtable_emulator")
        async with fresh_bigtable(TOPOLOGY) as instance:
            stores = [BigtableStore(PROJECT, instance, TOPOLOGY, clock)]

            def another_client() -> BigtableStore:
                stores.append(BigtableStore(PROJECT, instance, TOPOLOGY, clock))
                return stores[-1]

            yield StoreCase(store=stores[0], pass_time=moving(clock), another=another_client)
            for opened_store in stores:
                await opened_store.close()
        return
    if request.param == "memory":
        in_memory = MemoryStore(TOPOLOGY, clock)
        yield StoreCase(store=in_memory, pass_time=moving(clock), another=lambda: in_memory)
        return
    opened = [open_database({"sqlite-memory": ":memory:", "sqlite-file": tmp_path / "tracker.db"}[request.param])]

    def another() -> SqliteStore:
        if request.param == "sqlite-file":
            opened.append(open_database(tmp_path / "tracker.db"))
        return SqliteStore(opened[-1], TOPOLOGY, clock)

    store = SqliteStore(opened[0], TOPOLOGY, clock)
    yield StoreCase(store=store, pass_time=moving(clock), another=another)
    await store.close()
    for database in opened:
        await database.close()


@pytest.fixture(params=["sqlite", "bigtable"])
async def two_clients(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Two clients of one store with the product's own tables, as two processes have them."""
    topology, clock = load_topology(), EventClock(START_MS)
    if request.param == "sqlite":
        files = [open_database(tmp_path / "tracker.db") for _ in range(2)]
        yield SqliteStore(files[0], topology, clock), SqliteStore(files[1], topology, clock)
        for file in files:
            await file.close()
        return
    request.getfixturevalue("bigtable_emulator")
    async with fresh_bigtable(topology) as instance:
        clients = [BigtableStore(PROJECT, instance, topology, clock) for _ in range(2)]
        yield clients[0], clients[1]
        for client in clients:
            await client.close()


@pytest.fixture(params=["sqlite-memory", "sqlite-file", "redis"])
async def cache_case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CacheCase]:
    if request.param == "redis":
        server: ServerProcess = request.getfixturevalue("redis_server")
        url, prefix = f"redis://{server.address}/0", f"{uuid.uuid4().hex}:"
        caches = [RedisCache(url, prefix=prefix)]

        def another_cache() -> RedisCache:
            caches.append(RedisCache(url, prefix=prefix))
            return caches[-1]

        yield CacheCase(cache=caches[0], pass_time=ageing(url), another=another_cache)
        for opened_cache in caches:
            await opened_cache.close()
        return
    clock = EventClock(START_MS)
    database = open_database({"sqlite-memory": ":memory:", "sqlite-file": tmp_path / "tracker.db"}[request.param])
    cache = SqliteCache(database, clock)
    yield CacheCase(cache=cache, pass_time=moving(clock), another=lambda: SqliteCache(database, clock))
    await cache.close()
    await database.close()


def _into_memory(bus: MemoryBus):
    async def inject(topic: str, data: bytes, attributes: dict[str, str]) -> None:
        bus._add(topic, data, None, attributes)

    return inject


def _into_sqlite(bus: SqliteBus, database: Database):
    async def inject(topic: str, data: bytes, attributes: dict[str, str]) -> None:
        row = (bus._topics[topic], START_MS, msgspec.json.encode(attributes), data)

        def insert(connection) -> None:
            columns = "(topic, published_at_ms, attributes, data)"
            insert_rows(connection, f"INSERT INTO messages {columns} VALUES", [row])
            message = connection.execute("SELECT last_insert_rowid()").fetchone()[0]
            deliveries = [(number, START_MS, message, 0, 0) for number in bus._subscriptions.values()]
            columns = "(subscription, visible_at_ms, message, attempts, lease)"
            insert_rows(connection, f"INSERT INTO deliveries {columns} VALUES", deliveries)

        await database.write(insert)

    return inject
