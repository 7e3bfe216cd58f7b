"""Which adapters a process uses, decided here and nowhere else. What is not chosen is not imported.

BUS, STORE and CACHE name an adapter, or "auto" (the default) takes the broker whose address is set: Pub/Sub for
PUBSUB_EMULATOR_HOST, Bigtable for BIGTABLE_EMULATOR_HOST or BIGTABLE_INSTANCE, Redis for REDIS_URL; else the one
embedded file. A real project's Pub/Sub is only ever used where BUS=pubsub says so.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog

from shared.bus.port import Bus
from shared.cache.port import Cache
from shared.domain.errors import PermanentError, TransientError
from shared.domain.topology import Table, Topology
from shared.runtime.clock import Clock
from shared.runtime.reachable import CONNECT_SECONDS_MAX, require_server
from shared.runtime.settings import ServiceSettings, SettingsError
from shared.sqlite.database import Database, open_database
from shared.store.port import Store

CLOSE_SECONDS_MAX: Final = 2.0  # for each adapter; a broker that is down must not hold the process
EMULATOR_PROJECT: Final = "demo"
EMULATOR_INSTANCE: Final = "tracker"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The adapters' names: "sqlite", or "pubsub", "bigtable", "redis"."""

    bus: str
    store: str
    cache: str

    @property
    def embedded(self) -> bool:
        """Whether anything lives in the embedded file."""
        return "sqlite" in {self.bus, self.store, self.cache}


class Adapters(msgspec.Struct, frozen=True, kw_only=True):
    """What a process talks through."""

    bus: Bus
    store: Store
    cache: Cache


def chosen(settings: ServiceSettings) -> Choice:
    """The choice that the settings make."""
    bigtable = settings.bigtable_emulator_host or settings.bigtable_instance
    return Choice(
        bus=_named(settings.bus, "pubsub" if settings.pubsub_emulator_host else "sqlite"),
        store=_named(settings.store, "bigtable" if bigtable else "sqlite"),
        cache=_named(settings.cache, "redis" if settings.redis_url else "sqlite"),
    )


def _named(name: str, automatic: str) -> str:
    return automatic if name == "auto" else name


@contextlib.asynccontextmanager
async def open_adapters(
    settings: ServiceSettings, topology: Topology, clock: Clock, *, service: str = ""
) -> AsyncIterator[Adapters]:
    """All three, closed again within seconds. Raises PermanentError naming what is missing or wrongly set.

    service: whose tables must be there and readable; without a name all must.
    """
    choice = chosen(settings)
    async with contextlib.AsyncExitStack() as stack:
        database = await _database(settings, stack) if choice.embedded else None
        store, cache, bus = await asyncio.gather(
            _store(settings, choice, topology, clock, database, service=service),
            _cache(settings, choice, clock, database),
            _bus(settings, choice, topology, clock, database, service=service),
        )
        for close in (store.close, cache.close, bus.close):
            stack.push_async_callback(_bounded, close)
        yield Adapters(bus=bus, store=store, cache=cache)


@contextlib.asynccontextmanager
async def open_store_and_cache(
    settings: ServiceSettings, topology: Topology, clock: Clock
) -> AsyncIterator[tuple[Store, Cache]]:
    """For who only looks."""
    choice = chosen(settings)
    async with contextlib.AsyncExitStack() as stack:
        embedded = "sqlite" in {choice.store, choice.cache}
        database = await _database(settings, stack) if embedded else None
        store = await _store(settings, choice, topology, clock, database)
        cache = await _cache(settings, choice, clock, database)
        for close in (store.close, cache.close):
            stack.push_async_callback(_bounded, close)
        yield store, cache


@contextlib.asynccontextmanager
async def open_bus(settings: ServiceSettings, topology: Topology, clock: Clock) -> AsyncIterator[Bus]:
    """For who looks after messages alone."""
    choice = chosen(settings)
    async with contextlib.AsyncExitStack() as stack:
        database = await _database(settings, stack) if choice.bus == "sqlite" else None
        bus = await _bus(settings, choice, topology, clock, database)
        stack.push_async_callback(_bounded, bus.close)
        yield bus


async def _database(settings: ServiceSettings, stack: contextlib.AsyncExitStack) -> Database:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.database_file)
    stack.push_async_callback(database.close)
    return database


async def _bus(
    settings: ServiceSettings,
    choice: Choice,
    topology: Topology,
    clock: Clock,
    database: Database | None,
    *,
    service: str = "",
) -> Bus:
    if choice.bus == "pubsub":
        if settings.pubsub_emulator_host:
            await require_server("PUBSUB_EMULATOR_HOST", settings.pubsub_emulator_host, "the Pub/Sub emulator")
        from shared.bus.pubsub import PubSubBus
        from shared.bus.pubsub_admin import require_resources
        from shared.bus.pubsub_client import PubSubClient

        client = await PubSubClient.connect(pubsub_project(settings), settings.pubsub_emulator_host)
        try:
            await require_resources(client, topology, service=service)
        except PermanentError:
            await client.close()
            raise
        return PubSubBus(client, topology, clock)
    from shared.bus.sqlite import SqliteBus

    assert database is not None  # noqa: S101 - opened for every embedded choice
    return SqliteBus(database, topology, clock)


async def _store(
    settings: ServiceSettings,
    choice: Choice,
    topology: Topology,
    clock: Clock,
    database: Database | None,
    *,
    service: str = "",
) -> Store:
    if choice.store == "bigtable":
        place = bigtable_place(settings)
        if settings.bigtable_emulator_host:
            await require_server("BIGTABLE_EMULATOR_HOST", settings.bigtable_emulator_host, "the Bigtable emulator")
        from shared.store.bigtable_import import import_data_client

        import_data_client()
        from shared.store.bigtable import BigtableStore
        from shared.store.bigtable_connection import RefusedError

        store = BigtableStore(*place, topology, clock)
        try:
            await require_tables(store, topology.tables_of(service), RefusedError)
        except PermanentError:
            await _bounded(store.close)
            raise
        return store
    from shared.store.sqlite import SqliteStore

    assert database is not None  # noqa: S101 - opened for every embedded choice
    return SqliteStore(database, topology, clock)


async def _cache(settings: ServiceSettings, choice: Choice, clock: Clock, database: Database | None) -> Cache:
    if choice.cache == "redis":
        from shared.cache.redis import RedisCache

        if settings.redis_url is None:
            raise SettingsError("REDIS_URL must name the server where CACHE=redis, e.g. redis://127.0.0.1:6379/0")
        cache = RedisCache(settings.redis_url.get_secret_value())
        await _look_at(cache)
        return cache
    from shared.cache.sqlite import SqliteCache

    assert database is not None  # noqa: S101 - opened for every embedded choice
    return SqliteCache(database, clock)


async def _look_at(cache: Cache) -> None:
    """Losing the cache loses nothing, so nobody refuses to start without it; but it is said whose address it is."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            await cache.get("start")
    except (TransientError, TimeoutError) as error:
        structlog.get_logger().warning("cache_not_reachable", setting="REDIS_URL", error=str(error) or "no answer")


async def require_tables(store: Store, tables: Sequence[Table], refused: type[Exception]) -> None:
    """Read a row of each, so that what is missing ends the start and not, later, a message. refused: a right is missing.

    A store that does not answer ends nothing: it is waited for. Raises PermanentError naming the tables.
    """
    answers = await asyncio.gather(*(store.get(table.name, "~") for table in tables), return_exceptions=True)
    faults = {
        table.name: answer
        for table, answer in zip(tables, answers, strict=True)
        if isinstance(answer, PermanentError | refused)
    }
    if faults:
        hint = "GOOGLE_CLOUD_PROJECT and BIGTABLE_INSTANCE name their place"
        raise PermanentError(f"tables {', '.join(faults)}: {next(iter(faults.values()))}; {hint}")


def pubsub_project(settings: ServiceSettings) -> str:
    """The project of the topics; on an emulator any name does."""
    project = settings.pubsub_project_id or settings.google_cloud_project
    if project is None and settings.pubsub_emulator_host is None:
        raise SettingsError("PUBSUB_PROJECT_ID or GOOGLE_CLOUD_PROJECT must name the project where BUS=pubsub")
    return project or EMULATOR_PROJECT


def bigtable_place(settings: ServiceSettings) -> tuple[str, str]:
    """Project and instance of the tables; on an emulator any names do."""
    project = settings.google_cloud_project or settings.pubsub_project_id
    if settings.bigtable_emulator_host is None and not (project and settings.bigtable_instance):
        raise SettingsError(
            "GOOGLE_CLOUD_PROJECT and BIGTABLE_INSTANCE must name the tables' place where STORE=bigtable"
        )
    return project or EMULATOR_PROJECT, settings.bigtable_instance or EMULATOR_INSTANCE


async def _bounded(close: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await close()
