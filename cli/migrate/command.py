"""What `cst migrate-store` checks, shows and says around the moving itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.migrate.moving import Compared, Route, State, compare, copy, moved_tables, refuse_filled
from cli.supervisor.processes import read_running
from shared.domain.errors import PermanentError
from shared.domain.topology import Topology
from shared.runtime.adapters import bigtable_place
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology
from shared.sqlite.database import Database, open_database
from shared.store.moving import Movable

STORES: Final = ("sqlite", "bigtable")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    source: str
    target: str
    step_rows: int
    verify_only: bool
    leave_messages: bool


def run_migration(request: Request) -> str:
    """Copy, then compare; returns what to print. Raises PermanentError naming what stands in the way, or what differs."""
    if {request.source, request.target} != set(STORES):
        raise PermanentError(f"--from and --to must be the two of {' and '.join(STORES)}")
    settings = ServiceSettings.load()
    if not settings.database_file.is_file() and request.source == "sqlite":
        raise PermanentError(f"there is no {settings.database_file}: DATA_DIR names the folder to move from")
    _refuse_running(settings)
    return asyncio.run(_Migration(settings, request).run())


class _Migration:
    """One run."""

    def __init__(self, settings: ServiceSettings, request: Request) -> None:
        self._settings = settings
        self._request = request
        self._topology = load_topology()
        self._clock = settings.clock()
        self._tables = moved_tables(self._topology.tables)
        project, instance = bigtable_place(settings)
        places = {"sqlite": str(settings.database_file), "bigtable": f"Bigtable {project}/{instance}"}
        self._route = Route(source=places[request.source], target=places[request.target])
        self._file = settings.data_dir / f"migration-to-{request.target}.json"

    async def run(self) -> str:
        settings, request = self._settings, self._request
        async with (
            _sqlite(settings, self._topology) as (database, sqlite),
            _bigtable(settings, self._topology) as table,
        ):
            stores: dict[str, Movable] = {"sqlite": sqlite, "bigtable": table}
            source, target = stores[request.source], stores[request.target]
            for store, place in ((source, self._route.source), (target, self._route.target)):
                await self._refuse_led(store, place)
            if request.source == "sqlite" and not request.leave_messages:
                await self._refuse_waiting_messages(database)
            copied = 0 if request.verify_only else await self._copy(source, target)
            compared = await self._compare(source, target)
        if compared.faults:
            raise PermanentError(f"{compared.faults} row(s) differ: {'; '.join(compared.texts)}")
        self._file.unlink(missing_ok=True)
        return (
            f"{copied:,} rows copied from {self._route.source} to {self._route.target}\n"
            f"{compared.rows:,} rows compared: value, revisions, fences and write times are the same"
        )

    async def _copy(self, source: Movable, target: Movable) -> int:
        state = State.read(self._file, self._route)
        if state is None:
            await refuse_filled(target, self._tables)
            state = State(route=self._route)
            state.keep(self._file)
        counts = [await source.count(table.name) for table in self._tables]
        total = None if None in counts else sum(count or 0 for count in counts)
        with _bar() as bar:
            task = bar.add_task("copying", total=total, completed=state.rows)
            await copy(
                source,
                target,
                self._tables,
                state,
                self._file,
                step_rows=self._request.step_rows,
                on_rows=lambda table, rows: bar.update(task, advance=rows, description=f"copying {table}"),
            )
        return state.rows

    async def _compare(self, source: Movable, target: Movable) -> Compared:
        counts = [await source.count(table.name) for table in self._tables]
        total = None if None in counts else sum(count or 0 for count in counts)
        with _bar() as bar:
            task = bar.add_task("comparing", total=total)
            return await compare(
                source,
                target,
                self._tables,
                step_rows=self._request.step_rows,
                now_ms=self._clock.wall_ms(),
                on_rows=lambda table, rows: bar.update(task, advance=rows, description=f"comparing {table}"),
            )

    async def _refuse_led(self, store: Movable, place: str) -> None:
        now_ms = self._clock.wall_ms()
        held = [lease.name for lease in await store.leases() if lease.owner and lease.expires_at_ms > now_ms]
        if held:
            raise PermanentError(
                f"{', '.join(held)} lead(s) in {place}: stop the services, then wait until their leases have ended (10 s)"
            )

    async def _refuse_waiting_messages(self, database: Database) -> None:
        from shared.bus.sqlite import SqliteBus

        bus = SqliteBus(database, self._topology, self._clock)
        waiting = {item.name: await bus.backlog(item.name) for item in self._topology.subscriptions}
        told = ", ".join(f"{count} for {name}" for name, count in waiting.items() if count)
        if told:
            raise PermanentError(
                f"messages wait on the embedded bus and do not go along: {told}; stop ingestion first and let the other"
                " services finish, or say --leave-messages"
            )


def _refuse_running(settings: ServiceSettings) -> None:
    alive = [process.name for process in read_running(settings.data_dir / "run") if process.alive]
    if alive:
        raise PermanentError(f"{', '.join(alive)} run(s) in {settings.data_dir}: ./start_services.sh stop")


@contextlib.asynccontextmanager
async def _sqlite(settings: ServiceSettings, topology: Topology) -> AsyncIterator[tuple[Database, Movable]]:
    from shared.store.sqlite_moving import SqliteMoving

    database = open_database(settings.database_file)
    try:
        yield database, SqliteMoving(database, topology)
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _bigtable(settings: ServiceSettings, topology: Topology) -> AsyncIterator[Movable]:
    from shared.store.bigtable_import import import_data_client

    import_data_client()
    from shared.store.bigtable_moving import BigtableMoving

    store = BigtableMoving(*bigtable_place(settings), topology, settings.clock())
    try:
        yield store
    finally:
        await store.close()


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
