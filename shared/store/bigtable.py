"""The store on Bigtable: a cell per revision, conditional writes by one atomic check of the newest cell.

How a cell is laid out and how a write is decided: shared/store/bigtable_cells.py.
"""

import asyncio
import random
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Final

from google.cloud.bigtable.data import ReadRowsQuery, RowRange, TableAsync, mutations, row_filters
from google.cloud.bigtable.data.row import Row as BigtableRow

from shared.domain.checks import require
from shared.domain.errors import TransientError
from shared.domain.topology import Table, Topology
from shared.domain.wall_clock import WallClock
from shared.store import bigtable_cells as cells
from shared.store.bigtable_connection import BigtableConnection
from shared.store.leases import granted
from shared.store.port import Lease, Outcome, Row, Write, check_fill

_LEASES: Final = "leases"
_HOUR_MS: Final = 3_600_000
_BULK_ROWS: Final = 2_000  # per request; Bigtable takes 100,000 mutations
_BULK_BYTES: Final = 4_000_000  # per request, far below what gRPC carries
_PAGE_ROWS: Final = 20_000  # of a range, per request: about a second of the client's time
_AFTER_EVERY_KEY: Final = "\U0010ffff"
_CALLS_MAX: Final = 64  # single-row calls at once
_RACES_MAX: Final = 60  # until a row that changes under every attempt counts as a fault
_EXPIRY: Final = struct.Struct(">Q")


class BigtableStore:
    """The store port over one Bigtable instance. Made inside a running event loop.

    Neighbouring writes of one table go at once; the next table's begin when they are durable, so that a row never lies
    there before the rows of other tables that were listed ahead of it. A call that raises TransientError may have
    written some of its rows.
    """

    def __init__(
        self, project: str, instance: str, topology: Topology, clock: WallClock, *, deadline_seconds: float = 10.0
    ) -> None:
        self._connection = BigtableConnection(project, instance, deadline_seconds=deadline_seconds)
        self._clock = clock
        self._tables = {table.name: table for table in topology.tables}
        self._slots = asyncio.Semaphore(_CALLS_MAX)

    async def get(self, table: str, key: str) -> Row | None:
        """The newest cell of one row."""
        self._declared(table)
        found = await self._connection.call(table, lambda there: there.read_row(key, row_filter=cells.NEWEST))
        return cells.row_of(table, key, found.cells[0].value) if found else None

    async def get_many(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        """One request per 2,000 keys."""
        self._declared(table)
        found: dict[str, Row] = {}
        for some in _key_chunks(keys):
            rows = await self._read(table, ReadRowsQuery(row_keys=some, row_filter=cells.NEWEST))
            found.update((row.key, row) for row in (_newest(table, item) for item in rows))
        return found

    async def scan(self, table: str, start: str, end: str, *, limit: int | None = None) -> list[Row]:
        """One bounded range of keys, in pages."""
        self._declared(table)
        return [_newest(table, row) for row in await self._range(table, start, end, limit, cells.NEWEST)]

    async def history(self, table: str, key: str) -> list[Row]:
        """The kept cells; what the collector has not removed yet stays unseen."""
        kept = row_filters.CellsColumnLimitFilter(self._declared(table).max_versions)
        found = await self._connection.call(table, lambda there: there.read_row(key, row_filter=kept))
        rows = [cells.row_of(table, key, cell.value) for cell in reversed(found.cells)] if found else []
        return list({row.revision: row for row in rows}.values())  # of a filled row and a written one the written

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Table by table in the list's order; rows of one table at once, writes of one row one after the other."""
        blind = [self._declared(item.table).write_once and _is_unconditional(item) for item in writes]
        outcomes = [Outcome.WRITTEN] * len(writes)
        for (name, in_bulk), group in groupby(
            range(len(writes)), key=lambda place: (writes[place].table, blind[place])
        ):
            places = list(group)
            if in_bulk:
                now_ms, table = self._clock.wall_ms(), self._tables[name]
                await self._bulk(name, [cells.blind_entry(table, writes[place], now_ms) for place in places])
            else:
                await self._write_rows(writes, places, outcomes)
        return outcomes

    async def fill(self, writes: Sequence[Write]) -> None:
        """In bulk and without looking: the cells lie below those of every conditional write, so that they hide none."""
        check_fill(writes, [self._declared(write.table) for write in writes])
        for name, some in groupby(writes, key=lambda write: write.table):
            await self._bulk(name, [cells.fill_entry(write) for write in some])

    async def delete(self, table: str, keys: Sequence[str]) -> None:
        """Revision and fence are forgotten with the row: a later write begins at revision 1."""
        self._declared(table)
        await self._bulk(table, [_deletion(key) for key in dict.fromkeys(keys)])

    async def delete_range(self, table: str, start: str, end: str, *, limit: int) -> int:
        """Finds the keys, then removes them; a row that comes between the two stays."""
        self._declared(table)
        doomed = await self._range(table, start, end, limit, cells.NEWEST_KEYS)
        await self._bulk(table, [_deletion(row.row_key) for row in doomed])
        return len(doomed)

    async def acquire_lease(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """One row per lease, whose fence is the lease's; a released one keeps it under an empty owner."""
        for _ in range(_RACES_MAX):
            row = await self.get(_LEASES, name)
            lease = granted(_held(name, row), name, owner, now_ms=self._clock.wall_ms(), ttl_ms=ttl_ms)
            if lease is None or await self._put_lease(lease, row):
                return lease
        raise TransientError(f"lease {name} changed under {_RACES_MAX} attempts to take it")

    async def release_lease(self, lease: Lease) -> None:
        """Only while owner and fence are still ours."""
        for _ in range(_RACES_MAX):
            row = await self.get(_LEASES, lease.name)
            held = _held(lease.name, row)
            if held is None or (held.owner, held.fence) != (lease.owner, lease.fence):
                return
            if await self._put_lease(Lease(name=lease.name, owner="", fence=lease.fence, expires_at_ms=0), row):
                return

    async def adopt_fence(self, name: str, fence: int) -> None:
        """See moving.Movable: the lease, released, keeps the greater fence."""
        row = await self.get(_LEASES, name)
        held = _held(name, row)
        kept = max(fence, held.fence if held else 0)
        if not await self._put_lease(Lease(name=name, owner="", fence=kept, expires_at_ms=0), row):
            raise TransientError(f"lease {name} changed meanwhile: somebody still leads")

    async def prune(self) -> int:
        """On the emulator only: elsewhere the tables' own collector drops what is too old, and nothing counts it."""
        pruned = 0
        if self._connection.is_emulator:
            for table in self._tables.values():
                if table.ttl_hours is not None:
                    pruned += await self._expire(table.name, round(table.ttl_hours * _HOUR_MS))
        return pruned

    async def close(self) -> None:
        """Ends the channel."""
        await self._connection.close()

    async def _expire(self, table: str, ttl_ms: int) -> int:
        before_ms = self._clock.wall_ms() - ttl_ms
        old = await self._range(table, "", _AFTER_EVERY_KEY, None, cells.written_before(before_ms))
        await self._bulk(table, [cells.expiry_entry(row.row_key, before_ms) for row in old])
        return len(old)

    async def _put_lease(self, lease: Lease, row: Row | None) -> bool:
        value = _EXPIRY.pack(lease.expires_at_ms) + lease.owner.encode()
        revision = row.revision if row else 0
        write = Write(table=_LEASES, key=lease.name, value=value, expected_revision=revision, fence=lease.fence)
        return await self._write_row(write) is Outcome.WRITTEN

    async def _write_rows(self, writes: Sequence[Write], places: Iterable[int], outcomes: list[Outcome]) -> None:
        by_key: dict[str, list[int]] = {}
        for place in places:
            by_key.setdefault(writes[place].key, []).append(place)

        errors: list[Exception] = []

        async def in_order(of_one_row: Sequence[int]) -> None:
            for place in of_one_row:
                async with self._slots:
                    if errors:  # what has not begun need not try: the deadline is the whole call's
                        return
                    try:
                        outcomes[place] = await self._write_row(writes[place])
                    except Exception as error:  # noqa: BLE001 - raised below, whatever it is
                        errors.append(error)

        # All of them end before the first error is raised: nothing writes on behind the caller's back.
        await asyncio.gather(*map(in_order, by_key.values()))
        if errors:
            raise errors[0]

    async def _write_row(self, write: Write) -> Outcome:
        """Try as the writer believes the row to be; where that is refused, read it and decide, until no race is lost."""
        table = self._declared(write.table)
        guess = cells.first_guess(table, write, self._clock.wall_ms())
        if guess is not None:
            if await self._goes_through(write, guess):
                return Outcome.WRITTEN
            if write.fence is None and write.expected_revision == 0:
                return Outcome.CONFLICT  # the row is there, and that is all the write asked
        for attempt in range(_RACES_MAX):
            head = await self._head(write.table, write.key)
            outcome = cells.verdict(write, head)
            if outcome is not Outcome.WRITTEN:
                return outcome
            if await self._goes_through(write, cells.change(table, write, head, self._clock.wall_ms())):
                return Outcome.WRITTEN
            await asyncio.sleep(random.uniform(0, 0.001 * attempt))  # noqa: S311 - so that racers part
        raise TransientError(f"the row changed under {_RACES_MAX} attempts to write it ({write.table}, {write.key})")

    async def _head(self, table: str, key: str) -> cells.Head:
        found = await self._connection.call(table, lambda there: there.read_row(key, row_filter=cells.NEWEST))
        if not found:
            return cells.ABSENT
        [cell] = found.cells
        return cells.head_of(table, key, cell.value, cell.timestamp_micros)

    async def _goes_through(self, write: Write, change: cells.Change) -> bool:
        absent = change.predicate is None
        predicate = cells.NEWEST if absent else change.predicate
        matched = await self._connection.call(
            write.table,
            lambda there: there.check_and_mutate_row(
                write.key,
                predicate,
                true_case_mutations=None if absent else change.mutations,
                false_case_mutations=change.mutations if absent else None,
            ),
            repeatable=False,
        )
        return bool(matched) is not absent

    async def _range(
        self, table: str, start: str, end: str, limit: int | None, row_filter: row_filters.RowFilter
    ) -> list[BigtableRow]:
        """The range in key order, by pages, so that the deadline is one page's and not a long range's."""
        found: list[BigtableRow] = []
        wanted = sys.maxsize if limit is None else limit
        start_key: bytes | None = start.encode() or None
        while wanted > len(found) and start < end:
            page = min(_PAGE_ROWS, wanted - len(found))
            span = RowRange(start_key=start_key, end_key=end)
            rows = await self._read(table, ReadRowsQuery(row_ranges=[span], limit=page, row_filter=row_filter))
            found += rows
            if len(rows) < page:
                break
            start_key = rows[-1].row_key + b"\0"  # the first key behind it
            if start_key >= end.encode():
                break
        return found

    async def _read(self, table: str, query: ReadRowsQuery) -> list[BigtableRow]:
        return await self._connection.call(table, lambda there: there.read_rows(query))

    async def _bulk(self, table: str, entries: Sequence[cells.Entry]) -> None:
        for some in _entry_chunks(entries):
            await self._connection.call(table, partial(TableAsync.bulk_mutate_rows, mutation_entries=some))

    def _declared(self, name: str) -> Table:
        table = self._tables.get(name)
        require(table is not None, "tables are declared in infra/topology.yaml", name, "store")
        assert table is not None  # noqa: S101 - for the type checker: require has just said so
        return table


def _is_unconditional(write: Write) -> bool:
    return write.expected_revision is None and write.fence is None


def _newest(table: str, row: BigtableRow) -> Row:
    return cells.row_of(table, row.row_key.decode(), row.cells[0].value)


def _deletion(key: str | bytes) -> cells.Entry:
    return cells.Entry(key, [mutations.DeleteAllFromRow()])


def _held(name: str, row: Row | None) -> Lease | None:
    return None if row is None else read_lease(name, row)


def read_lease(name: str, row: Row) -> Lease:
    """The lease as its row tells it; an empty owner has released it."""
    [expires_at_ms] = _EXPIRY.unpack_from(row.value)
    owner = row.value[_EXPIRY.size :].decode()
    return Lease(name=name, owner=owner, fence=row.fence, expires_at_ms=expires_at_ms)


def _key_chunks(keys: Sequence[str]) -> Iterator[list[str | bytes]]:
    """The distinct keys, as many as one request takes."""
    distinct: list[str | bytes] = list(dict.fromkeys(keys))
    for start in range(0, len(distinct), _BULK_ROWS):
        yield distinct[start : start + _BULK_ROWS]


def _entry_chunks(entries: Sequence[cells.Entry]) -> Iterator[list[cells.Entry]]:
    """Entries by number and size of a request."""
    chunk: list[cells.Entry] = []
    chunk_bytes = 0
    for entry in entries:
        entry_bytes = sum(len(getattr(mutation, "new_value", b"")) for mutation in entry.mutations)
        if chunk and (len(chunk) == _BULK_ROWS or chunk_bytes + entry_bytes > _BULK_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(entry)
        chunk_bytes += entry_bytes
    if chunk:
        yield chunk
