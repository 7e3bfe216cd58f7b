"""Rows out of and into the embedded file, as `cst migrate-store` moves them."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from shared.domain.checks import require
from shared.domain.topology import Topology
from shared.sqlite.bulk import insert_rows
from shared.sqlite.database import Database
from shared.store.moving import Kept, MovingRow
from shared.store.port import Lease


class SqliteMoving:
    """See moving.Movable. close() of the database is its opener's."""

    def __init__(self, database: Database, topology: Topology) -> None:
        self._database = database
        self._numbers = database.name_ids("table", [table.name for table in topology.tables])
        self._tables = {table.name: table for table in topology.tables}

    async def count(self, table: str) -> int | None:
        """Exact."""
        number = self._number(table)
        statement = "SELECT count(*) FROM rows WHERE tbl = ?"
        found = await self._database.read(lambda connection: connection.execute(statement, (number,)).fetchone())
        return int(found[0])

    async def rows_after(self, table: str, key: str, *, limit: int) -> list[MovingRow]:
        """Newest revisions, then the older ones of the same keys, in one statement each."""
        number = self._number(table)
        return await self._database.read(lambda connection: _rows_after(connection, number, key, limit))

    async def adopt(self, table: str, rows: Sequence[MovingRow]) -> None:
        """One transaction."""
        number, aging = self._number(table), int(self._tables[table].ttl_hours is not None)
        await self._database.write(lambda connection: _adopt(connection, number, aging, rows))

    async def leases(self) -> list[Lease]:
        """From their own table."""
        statement = "SELECT name, owner, fence, expires_at_ms FROM leases ORDER BY name"
        found = await self._database.read(lambda connection: connection.execute(statement).fetchall())
        return [Lease(name=name, owner=owner, fence=fence, expires_at_ms=ends) for name, owner, fence, ends in found]

    async def adopt_fence(self, name: str, fence: int) -> None:
        """A released lease that keeps the greater fence."""
        statement = """
            INSERT INTO leases (name, owner, fence, expires_at_ms) VALUES (?, '', ?, 0)
            ON CONFLICT (name) DO UPDATE SET owner = '', expires_at_ms = 0, fence = max(fence, excluded.fence)"""
        await self._database.write(lambda connection: connection.execute(statement, (name, fence)).rowcount)

    def _number(self, table: str) -> int:
        require(table in self._numbers, "tables are declared in infra/topology.yaml", table, "store")
        return self._numbers[table]


def _rows_after(connection: sqlite3.Connection, number: int, key: str, limit: int) -> list[MovingRow]:
    columns = "key, revision, fence, value, written_at_ms"
    newest = connection.execute(
        f"SELECT {columns} FROM rows WHERE tbl = ? AND key > ? ORDER BY key LIMIT ?",  # noqa: S608 - our own names
        (number, key, limit),
    ).fetchall()
    if not newest:
        return []
    older = connection.execute(
        f"SELECT {columns} FROM versions WHERE tbl = ? AND key > ? AND key <= ? ORDER BY key, revision",  # noqa: S608 - our own names
        (number, key, newest[-1][0]),
    ).fetchall()
    kept: defaultdict[str, list[Kept]] = defaultdict(list)
    for row_key, revision, fence, value, written_at_ms in [*older, *newest]:
        kept[row_key].append(Kept(revision=revision, fence=fence, value=value, written_at_ms=written_at_ms))
    return [MovingRow(key=fields[0], kept=tuple(kept[fields[0]])) for fields in newest]


def _adopt(connection: sqlite3.Connection, number: int, aging: int, rows: Sequence[MovingRow]) -> None:
    keys = (number, msgspec.json.encode([row.key for row in rows]).decode())
    for place in ("versions", "rows"):
        connection.execute(
            f"DELETE FROM {place} WHERE tbl = ? AND key IN (SELECT value FROM json_each(?))",  # noqa: S608 - one of two names
            keys,
        )
    newest = [(number, row.key, *_fields(row.kept[-1]), aging) for row in rows]
    older = [(number, row.key, *_fields(kept)) for row in rows for kept in row.kept[:-1]]
    columns = "(tbl, key, revision, value, fence, written_at_ms"
    insert_rows(connection, f"INSERT INTO rows {columns}, aging) VALUES", newest)
    insert_rows(connection, f"INSERT INTO versions {columns}) VALUES", older)


def _fields(kept: Kept) -> tuple[int, bytes, int, int]:
    return kept.revision, kept.value, kept.fence, kept.written_at_ms
