"""The store on SQLite: newest rows in one table, kept older revisions in another."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.checks import require
from shared.domain.topology import Table, Topology
from shared.domain.wall_clock import WallClock
from shared.sqlite.bulk import insert_rows
from shared.sqlite.database import Database
from shared.store.leases import granted
from shared.store.port import Lease, Outcome, Row, Write, check_fill

_FILL_ROWS: Final = 1_000  # per transaction
_PRUNE_ROWS: Final = 2_000  # per transaction, so that other processes get their turn
_HOUR_MS: Final = 3_600_000
_INSERT: Final = "INTO rows (tbl, key, revision, value, fence, written_at_ms, aging) VALUES"
# json_each keeps the number of parameters fixed; CROSS JOIN makes SQLite look each key up instead of scanning.
_STATES: Final = """
    SELECT json_group_array(json_array(rows.key, rows.revision, rows.fence))
    FROM json_each(?) AS wanted CROSS JOIN rows ON rows.tbl = ? AND rows.key = wanted.value"""
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE_STATES: Final = msgspec.json.Decoder(list[tuple[str, int, int]]).decode


class _DeclaredTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the topology with its number in the file."""

    number: int
    table: Table

    @property
    def aging(self) -> int:
        """1 where rows have a time to live."""
        return int(self.table.ttl_hours is not None)


class SqliteStore:
    """The store port over one Database; close() leaves the database to whoever opened it."""

    def __init__(self, database: Database, topology: Topology, clock: WallClock) -> None:
        self._database = database
        self._clock = clock
        numbers = database.name_ids("table", [table.name for table in topology.tables])
        self._tables = {
            table.name: _DeclaredTable(number=numbers[table.name], table=table) for table in topology.tables
        }

    async def get(self, table: str, key: str) -> Row | None:
        """One lookup."""
        number = self._declared(table).number
        statement = "SELECT key, value, revision, fence FROM rows WHERE tbl = ? AND key = ?"
        found = await self._database.read(lambda connection: connection.execute(statement, (number, key)).fetchone())
        return _row(found) if found else None

    async def get_many(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        """One statement for all keys."""
        number = self._declared(table).number
        statement = """
            SELECT rows.key, rows.value, rows.revision, rows.fence
            FROM json_each(?) AS wanted CROSS JOIN rows ON rows.tbl = ? AND rows.key = wanted.value"""
        parameters = (_ENCODE(list(keys)).decode(), number)
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())
        return {fields[0]: _row(fields) for fields in found}

    async def scan(self, table: str, start: str, end: str, *, limit: int | None = None) -> list[Row]:
        """One bounded range of the primary key."""
        statement = """
            SELECT key, value, revision, fence FROM rows WHERE tbl = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"""
        parameters = (self._declared(table).number, start, end, -1 if limit is None else limit)
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())
        return [_row(fields) for fields in found]

    async def history(self, table: str, key: str) -> list[Row]:
        """Kept older revisions, then the newest; one statement, so that both are of one moment."""
        number = self._declared(table).number
        statement = """
            SELECT key, value, revision, fence FROM versions WHERE tbl = ? AND key = ?
            UNION ALL SELECT key, value, revision, fence FROM rows WHERE tbl = ? AND key = ? ORDER BY revision"""
        parameters = (number, key, number, key)
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())
        return [_row(fields) for fields in found]

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """All of them in one transaction."""
        if not writes:
            return []
        declared = [self._declared(write.table) for write in writes]
        now_ms = self._clock.wall_ms()
        return await self._database.write(
            lambda connection: _write_all(connection, writes, declared, now_ms),
            fully_synchronous=any(item.table.fully_synchronous for item in declared),
        )

    async def fill(self, writes: Sequence[Write]) -> None:
        """One transaction per thousand rows, so that other processes get their turn."""
        declared = [self._declared(write.table) for write in writes]
        check_fill(writes, [item.table for item in declared])
        now_ms = self._clock.wall_ms()
        rows = [
            (place.number, write.key, 1, write.value, write.fence or 0, now_ms, place.aging)
            for place, write in zip(declared, writes, strict=True)
        ]
        for start in range(0, len(rows), _FILL_ROWS):
            some = rows[start : start + _FILL_ROWS]
            await self._database.write(
                lambda connection, some=some: insert_rows(connection, f"INSERT OR IGNORE {_INSERT}", some)  # type: ignore[misc]  # mypy infers no lambda with defaults
            )

    async def delete(self, table: str, keys: Sequence[str]) -> None:
        """Revision and fence are forgotten with the row: a later write begins at revision 1."""
        declared = self._declared(table)
        if keys:
            await self._database.write(
                lambda connection: _delete(connection, declared.number, keys),
                fully_synchronous=declared.table.fully_synchronous,
            )

    async def delete_range(self, table: str, start: str, end: str, *, limit: int) -> int:
        """Finds the keys and removes them in one transaction."""
        declared = self._declared(table)

        def remove(connection: sqlite3.Connection) -> int:
            statement = "SELECT key FROM rows WHERE tbl = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
            found = connection.execute(statement, (declared.number, start, end, limit)).fetchall()
            _delete(connection, declared.number, [key for (key,) in found])
            return len(found)

        return await self._database.write(remove, fully_synchronous=declared.table.fully_synchronous)

    async def acquire_lease(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """One row per lease; a released one keeps its fence under an empty owner."""
        now_ms = self._clock.wall_ms()
        return await self._database.write(lambda connection: _acquire(connection, name, owner, now_ms, ttl_ms))

    async def release_lease(self, lease: Lease) -> None:
        """Only while owner and fence are still ours."""
        statement = "UPDATE leases SET owner = '', expires_at_ms = 0 WHERE name = ? AND owner = ? AND fence = ?"
        parameters = (lease.name, lease.owner, lease.fence)
        await self._database.write(lambda connection: connection.execute(statement, parameters).rowcount)

    async def prune(self) -> int:
        """Bounded transactions, one after the other."""
        pruned = 0
        for declared in self._tables.values():
            if declared.table.ttl_hours is None:
                continue
            before_ms = self._clock.wall_ms() - round(declared.table.ttl_hours * _HOUR_MS)
            number = declared.number
            removed = _PRUNE_ROWS
            while removed == _PRUNE_ROWS:
                removed = await self._database.write(
                    lambda connection, number=number, before_ms=before_ms: _prune(connection, number, before_ms)  # type: ignore[misc]  # mypy infers no lambda with defaults
                )
                pruned += removed
        return pruned

    async def close(self) -> None:
        """Nothing of its own to close."""

    def _declared(self, table: str) -> _DeclaredTable:
        declared = self._tables.get(table)
        require(declared is not None, "tables are declared in infra/topology.yaml", table, "store")
        assert declared is not None  # noqa: S101 - for the type checker: require has just said so
        return declared


def _row(fields: tuple[str, bytes, int, int]) -> Row:
    return Row(key=fields[0], value=fields[1], revision=fields[2], fence=fields[3])


def _write_all(
    connection: sqlite3.Connection, writes: Sequence[Write], declared: Sequence[_DeclaredTable], now_ms: int
) -> list[Outcome]:
    """The outcomes in order. Rounds hold a row once, so that a row written twice keeps both revisions."""
    outcomes: list[Outcome | None] = [None] * len(writes)
    positions = list(range(len(writes)))
    while positions:
        seen: set[tuple[int, str]] = set()
        this_round: list[int] = []
        later: list[int] = []
        for position in positions:
            identity = (declared[position].number, writes[position].key)
            (later if identity in seen else this_round).append(position)
            seen.add(identity)
        _write_round(connection, writes, declared, now_ms, this_round, outcomes)
        positions = later
    return [outcome for outcome in outcomes if outcome is not None]


def _write_round(
    connection: sqlite3.Connection,
    writes: Sequence[Write],
    declared: Sequence[_DeclaredTable],
    now_ms: int,
    positions: Sequence[int],
    outcomes: list[Outcome | None],
) -> None:
    states = _states(connection, writes, declared, positions)
    rows = []
    superseded = []
    for position in positions:
        write = writes[position]
        place = declared[position]
        revision, fence = states.get((place.number, write.key), (0, 0))
        outcome = _verdict(write, revision, fence)
        outcomes[position] = outcome
        if outcome is Outcome.WRITTEN:
            new_fence = max(fence, write.fence or 0)
            rows.append((place.number, write.key, revision + 1, write.value, new_fence, now_ms, place.aging))
            if revision and place.table.max_versions > 1:
                superseded.append((place.number, write.key, revision + 1 - place.table.max_versions))
    _keep_versions(connection, superseded)
    insert_rows(connection, f"INSERT OR REPLACE {_INSERT}", rows)


def _verdict(write: Write, revision: int, fence: int) -> Outcome:
    if write.fence is not None and write.fence < fence:
        return Outcome.FENCED
    if write.expected_revision is not None and write.expected_revision != revision:
        return Outcome.CONFLICT
    return Outcome.WRITTEN


def _states(
    connection: sqlite3.Connection,
    writes: Sequence[Write],
    declared: Sequence[_DeclaredTable],
    positions: Sequence[int],
) -> dict[tuple[int, str], tuple[int, int]]:
    """(table number, key) -> (revision, fence) of the rows that exist."""
    keys: dict[int, list[str]] = {}
    for position in positions:
        keys.setdefault(declared[position].number, []).append(writes[position].key)
    states = {}
    for number, wanted in keys.items():
        [packed] = connection.execute(_STATES, (_ENCODE(wanted).decode(), number)).fetchone()
        for key, revision, fence in _DECODE_STATES(packed):
            states[number, key] = (revision, fence)
    return states


def _keep_versions(connection: sqlite3.Connection, superseded: Sequence[tuple[int, str, int]]) -> None:
    """Copy the rows that are about to be replaced; drop what is older than the table keeps."""
    for number, key, oldest_dropped in superseded:
        connection.execute(
            "INSERT INTO versions SELECT tbl, key, revision, value, fence, written_at_ms"
            " FROM rows WHERE tbl = ? AND key = ?",
            (number, key),
        )
        connection.execute(
            "DELETE FROM versions WHERE tbl = ? AND key = ? AND revision <= ?", (number, key, oldest_dropped)
        )


def _delete(connection: sqlite3.Connection, number: int, keys: Sequence[str]) -> None:
    parameters = (number, _ENCODE(list(keys)).decode())
    connection.execute("DELETE FROM versions WHERE tbl = ? AND key IN (SELECT value FROM json_each(?))", parameters)
    connection.execute("DELETE FROM rows WHERE tbl = ? AND key IN (SELECT value FROM json_each(?))", parameters)


def _prune(connection: sqlite3.Connection, number: int, before_ms: int) -> int:
    statement = "SELECT key FROM rows WHERE tbl = ? AND aging = 1 AND written_at_ms < ? ORDER BY written_at_ms LIMIT ?"
    keys = [key for (key,) in connection.execute(statement, (number, before_ms, _PRUNE_ROWS)).fetchall()]
    _delete(connection, number, keys)
    return len(keys)


def _acquire(connection: sqlite3.Connection, name: str, owner: str, now_ms: int, ttl_ms: int) -> Lease | None:
    found = connection.execute("SELECT owner, fence, expires_at_ms FROM leases WHERE name = ?", (name,)).fetchone()
    held = Lease(name=name, owner=found[0], fence=found[1], expires_at_ms=found[2]) if found else None
    lease = granted(held, name, owner, now_ms=now_ms, ttl_ms=ttl_ms)
    if lease is not None:
        connection.execute(
            "INSERT OR REPLACE INTO leases (name, owner, fence, expires_at_ms) VALUES (?, ?, ?, ?)",
            (name, owner, lease.fence, lease.expires_at_ms),
        )
    return lease
