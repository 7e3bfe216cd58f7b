"""Rows as they move from one store to another: every kept revision as it is, fences and write times with it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from shared.store.port import Lease


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One kept revision. written_at_ms: wall clock; 0 where the store does not know it (tables without a time to live)."""

    revision: int
    fence: int
    value: bytes
    written_at_ms: int


class MovingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row with its kept revisions, oldest first; at least one."""

    key: str
    kept: tuple[Kept, ...]


class Movable(Protocol):
    """A store whose rows can leave and arrive. Nothing else may write meanwhile."""

    async def count(self, table: str) -> int | None:
        """How many rows there are; None where counting means reading them all."""

    async def rows_after(self, table: str, key: str, *, limit: int) -> list[MovingRow]:
        """The first rows whose key is greater, in key order (of UTF-8 bytes)."""

    async def adopt(self, table: str, rows: Sequence[MovingRow]) -> None:
        """Store these rows exactly so, in place of what their keys hold. Doing it twice is doing it once."""

    async def leases(self) -> list[Lease]:
        """Every lease that ever was, with its fence."""

    async def adopt_fence(self, name: str, fence: int) -> None:
        """From now on the lease's fences are greater than this one; rows that carry it do not refuse the next owner."""
