"""Rows out of and into Bigtable, as `cst migrate-store` moves them."""

from collections.abc import Sequence
from typing import Final

from google.cloud.bigtable.data import ReadRowsQuery, RowRange, TableAsync, row_filters
from google.cloud.bigtable.data.row import Row as BigtableRow

from shared.domain.checks import require
from shared.domain.topology import Table, Topology
from shared.domain.wall_clock import WallClock
from shared.store import bigtable_cells as cells
from shared.store.bigtable import BigtableStore, read_lease
from shared.store.bigtable_connection import BigtableConnection
from shared.store.moving import Kept, MovingRow
from shared.store.port import Lease

_LEASES: Final = "leases"
_BULK_BYTES: Final = 4_000_000
_MICROS_PER_MS: Final = 1000


class BigtableMoving:
    """See moving.Movable. Made inside a running event loop; close() ends its connections."""

    def __init__(self, project: str, instance: str, topology: Topology, clock: WallClock) -> None:
        self._connection = BigtableConnection(project, instance, deadline_seconds=60)
        self._store = BigtableStore(project, instance, topology, clock)
        self._tables = {table.name: table for table in topology.tables}

    async def count(self, table: str) -> int | None:
        """Not without reading them."""
        self._declared(table)
        return None

    async def rows_after(self, table: str, key: str, *, limit: int) -> list[MovingRow]:
        """One page of the range behind the key."""
        declared = self._declared(table)
        span = RowRange(start_key=key.encode() + b"\0" if key else None)
        kept = row_filters.CellsColumnLimitFilter(declared.max_versions + 1)  # a filled row may lie below a written one
        query = ReadRowsQuery(row_ranges=[span], limit=limit, row_filter=kept)
        rows = await self._connection.call(table, lambda there: there.read_rows(query))
        return [_moving(declared, row) for row in rows]

    async def adopt(self, table: str, rows: Sequence[MovingRow]) -> None:
        """Each row in one mutation: emptied, then its revisions as they were."""
        declared = self._declared(table)
        some: list[cells.Entry] = []
        size = 0
        for row in rows:
            some.append(cells.adopted_entry(declared, row))
            size += sum(len(kept.value) for kept in row.kept)
            if size > _BULK_BYTES:
                await self._mutate(table, some)
                some, size = [], 0
        if some:
            await self._mutate(table, some)

    async def _mutate(self, table: str, entries: list[cells.Entry]) -> None:
        async def ask(there: TableAsync) -> None:
            await there.bulk_mutate_rows(list(entries))

        await self._connection.call(table, ask)

    async def leases(self) -> list[Lease]:
        """From the rows of their table."""
        found = await self._store.scan(_LEASES, "", "\U0010ffff")
        return [read_lease(row.key, row) for row in found]

    async def adopt_fence(self, name: str, fence: int) -> None:
        """A released lease that keeps the greater fence."""
        await self._store.adopt_fence(name, fence)

    async def close(self) -> None:
        """Ends both channels."""
        await self._connection.close()
        await self._store.close()

    def _declared(self, name: str) -> Table:
        require(name in self._tables, "tables are declared in infra/topology.yaml", name, "store")
        return self._tables[name]


def _moving(table: Table, row: BigtableRow) -> MovingRow:
    key = row.row_key.decode()
    by_revision: dict[int, Kept] = {}
    for cell in reversed(row.cells):
        read = cells.row_of(table.name, key, cell.value)
        written_at_ms = 0 if table.ttl_hours is None else cell.timestamp_micros // _MICROS_PER_MS
        by_revision[read.revision] = Kept(
            revision=read.revision, fence=read.fence, value=read.value, written_at_ms=written_at_ms
        )
    return MovingRow(key=key, kept=tuple(by_revision.values())[-table.max_versions :])
