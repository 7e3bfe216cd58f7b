"""The store in this process's memory: the same contract as SQLite at a tenth of its cost. Replays and research use it."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from shared.domain.checks import require
from shared.domain.topology import Table, Topology
from shared.domain.wall_clock import WallClock
from shared.store.leases import granted
from shared.store.port import Lease, Outcome, Row, Write, check_fill

_HOUR_MS: Final = 3_600_000
_Version = tuple[int, bytes, int, int]  # revision, value, fence, written_at_ms


class _Rows:
    """One table: the kept versions of every row, and its keys in order, sorted when a range is asked for."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.versions: dict[str, list[_Version]] = {}
        self._keys: list[str] = []  # sorted, but for the new ones
        self._new: list[str] = []
        self._removed = False

    def write(self, write: Write, now_ms: int) -> Outcome:
        key = write.key
        versions = self.versions.get(key)
        if versions is None:  # the first revision of a row: most writes of a replay
            if write.expected_revision:
                return Outcome.CONFLICT
            self.versions[key] = [(1, write.value, write.fence or 0, now_ms)]
            self._new.append(key)
            return Outcome.WRITTEN
        revision, fence = versions[-1][0], versions[-1][2]
        if write.fence is not None and write.fence < fence:
            return Outcome.FENCED
        if write.expected_revision is not None and write.expected_revision != revision:
            return Outcome.CONFLICT
        versions.append((revision + 1, write.value, max(fence, write.fence or 0), now_ms))
        del versions[: -self.table.max_versions]
        return Outcome.WRITTEN

    def keys_between(self, start: str, end: str) -> list[str]:
        if self._removed:
            self._keys, self._removed = sorted(self.versions), False
        elif self._new:
            self._keys += self._new
            self._keys.sort()  # sorted runs are merged in about one pass
        self._new = []
        return self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self.versions.pop(key, None) is not None:
                self._removed = True


class MemoryStore:
    """The store port over dictionaries; lost with the process."""

    def __init__(self, topology: Topology, clock: WallClock) -> None:
        self._clock = clock
        self._tables = {table.name: _Rows(table) for table in topology.tables}
        self._leases: dict[str, Lease] = {}

    async def get(self, table: str, key: str) -> Row | None:
        """One lookup."""
        versions = self._of(table).versions.get(key)
        return _row(key, versions[-1]) if versions else None

    async def get_many(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        """One lookup per key."""
        found = self._of(table).versions
        return {key: _row(key, found[key][-1]) for key in keys if key in found}

    async def scan(self, table: str, start: str, end: str, *, limit: int | None = None) -> list[Row]:
        """A slice of the sorted keys."""
        rows = self._of(table)
        return [_row(key, rows.versions[key][-1]) for key in rows.keys_between(start, end)[:limit]]

    async def history(self, table: str, key: str) -> list[Row]:
        """Every kept version."""
        return [_row(key, version) for version in self._of(table).versions.get(key, ())]

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """One after the other."""
        now_ms, tables = self._clock.wall_ms(), self._tables
        for table in {write.table for write in writes}:
            self._of(table)  # an unknown one refuses the whole list
        return [tables[write.table].write(write, now_ms) for write in writes]

    async def fill(self, writes: Sequence[Write]) -> None:
        """Those whose key is not there."""
        now_ms = self._clock.wall_ms()
        tables = [self._of(write.table) for write in writes]
        check_fill(writes, [rows.table for rows in tables])
        for rows, write in zip(tables, writes, strict=True):
            if write.key not in rows.versions:
                rows.write(write, now_ms)

    async def delete(self, table: str, keys: Sequence[str]) -> None:
        """Revision and fence are forgotten with the row."""
        self._of(table).remove(keys)

    async def delete_range(self, table: str, start: str, end: str, *, limit: int) -> int:
        """The first `limit` keys of the range."""
        rows = self._of(table)
        keys = rows.keys_between(start, end)[:limit]
        rows.remove(keys)
        return len(keys)

    async def acquire_lease(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """A released or expired lease keeps its fence; another owner gets the next."""
        lease = granted(self._leases.get(name), name, owner, now_ms=self._clock.wall_ms(), ttl_ms=ttl_ms)
        if lease is not None:
            self._leases[name] = lease
        return lease

    async def release_lease(self, lease: Lease) -> None:
        """Only while owner and fence are still ours."""
        held = self._leases.get(lease.name)
        if held and (held.owner, held.fence) == (lease.owner, lease.fence):
            self._leases[lease.name] = Lease(name=lease.name, owner="", fence=lease.fence, expires_at_ms=0)

    async def prune(self) -> int:
        """Rows whose newest version is older than the table's ttl."""
        pruned = 0
        for rows in self._tables.values():
            if rows.table.ttl_hours is not None:
                before_ms = self._clock.wall_ms() - round(rows.table.ttl_hours * _HOUR_MS)
                old = [key for key, versions in rows.versions.items() if versions[-1][3] < before_ms]
                rows.remove(old)
                pruned += len(old)
        return pruned

    async def close(self) -> None:
        """Nothing to release."""

    def _of(self, table: str) -> _Rows:
        rows = self._tables.get(table)
        require(rows is not None, "tables are declared in infra/topology.yaml", table, "store")
        assert rows is not None  # noqa: S101 - for the type checker: require has just said so
        return rows


def _row(key: str, version: _Version) -> Row:
    return Row(key=key, value=version[1], revision=version[0], fence=version[2])
