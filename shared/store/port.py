"""The store contract: ordered rows of bytes in declared tables, one row atomic at a time, leases with fences.

A key is text whose parts are joined by '#'; time parts are zero-padded and forward, so that a time range is one bounded
key range. A row's revision counts its writes from 1. Rows keep the highest fence that wrote them.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from shared.domain.checks import require
from shared.domain.topology import Table


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row as stored: its newest value (or an older one, from `history`)."""

    key: str
    value: bytes
    revision: int
    fence: int


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One row to write.

    expected_revision: None writes whatever is there (idempotent rows: same key, same value); 0 wants the row absent;
                       n wants its newest revision to be n. The new revision is one higher.
    fence:             the writer's lease; a row that a higher fence wrote refuses it. None: not fenced.
    """

    table: str
    key: str
    value: bytes
    expected_revision: int | None = None
    fence: int | None = None


class Outcome(StrEnum):
    """What became of a write: refused ones changed nothing."""

    WRITTEN = "written"
    CONFLICT = "conflict"  # another revision is there
    FENCED = "fenced"  # a newer owner wrote the row


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to be the active one. fence rises with every change of owner, never falls. expires_at_ms: wall clock."""

    name: str
    owner: str
    fence: int
    expires_at_ms: int


class Store(Protocol):
    """Rows. Undeclared tables raise InvalidValueError; an unreachable store raises TransientError."""

    async def get(self, table: str, key: str) -> Row | None:
        """The newest value of the row, None when absent."""

    async def get_many(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        """The newest values of those rows that exist."""

    async def scan(self, table: str, start: str, end: str, *, limit: int | None = None) -> list[Row]:
        """Newest values of the rows with start <= key < end, in key order; with a limit, the first ones."""

    async def history(self, table: str, key: str) -> list[Row]:
        """Every kept revision of the row, oldest first (as many as the table's max_versions)."""

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Write each row on its own, in order; durable when it returns (as the table declares). One outcome per write."""

    async def fill(self, writes: Sequence[Write]) -> None:
        """Write many rows in bulk where there are none; a row that is there keeps its newest value and its revision.

        For history, of which any other writer's row is the better one: expected_revision must be 0, a fence is kept but
        refuses nobody, and nobody is told which rows were there. Not for tables with a time to live or write_once.
        """

    async def delete(self, table: str, keys: Sequence[str]) -> None:
        """Remove rows with all their revisions; absent ones are no error."""

    async def delete_range(self, table: str, start: str, end: str, *, limit: int) -> int:
        """Remove up to `limit` rows with start <= key < end, in key order; returns how many."""

    async def acquire_lease(self, name: str, owner: str, *, ttl_ms: int) -> Lease | None:
        """Take or renew the lease; None while another owner holds it. Only a renewal by the same owner keeps the fence.

        An owner is one process: `instance/boot` (shared/store/leases.py). A later boot of the instance that holds the lease
        takes it over at once, with a higher fence: whatever the earlier process still writes is refused.
        """

    async def release_lease(self, lease: Lease) -> None:
        """Give it up early; a no-op when it is no longer ours."""

    async def prune(self) -> int:
        """Drop rows older than their table's ttl (by write time); returns how many."""

    async def close(self) -> None:
        """Release connections."""


def check_fill(writes: Sequence[Write], tables: Sequence[Table]) -> None:
    """Raise InvalidValueError for a write that `fill` does not take."""
    for write, table in zip(writes, tables, strict=True):
        place = f"fill, table {write.table}, row {write.key}"
        require(write.expected_revision == 0, "a row to fill expects revision 0", write.expected_revision, place)
        kept_simply = table.ttl_hours is None and not table.write_once
        require(kept_simply, "tables with a time to live or write_once are not filled", table.name, place)


def key_of(*parts: str | int) -> str:
    """Join key parts; integers (times, sequences) are zero-padded to 15 digits so that text order is number order."""
    return "#".join(f"{part:015d}" if isinstance(part, int) else part for part in parts)


def prefix_range(*parts: str | int) -> tuple[str, str]:
    """The key range [start, end) of every row whose key begins with these parts."""
    prefix = key_of(*parts) + "#"
    return prefix, prefix[:-1] + "$"  # '$' follows '#'
