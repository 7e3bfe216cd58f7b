"""The cache on SQLite, beside bus and store in the same file."""

import sqlite3
from collections.abc import Callable
from typing import Final

from shared.domain.wall_clock import WallClock
from shared.sqlite.database import Database

_PRUNE_ROWS: Final = 2_000  # per transaction, so that other processes get their turn
_PRUNE: Final = (
    "DELETE FROM cache_values WHERE key IN (SELECT key FROM cache_values WHERE expires_at_ms <= ? LIMIT ?)",
    """DELETE FROM cache_fields WHERE (key, field) IN (
        SELECT key, field FROM cache_fields WHERE expires_at_ms <= ? LIMIT ?)""",
)


class SqliteCache:
    """The cache port over one Database; close() leaves the database to whoever opened it."""

    def __init__(self, database: Database, clock: WallClock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, key: str) -> bytes | None:
        """Expired entries are absent before they are pruned."""
        statement = "SELECT value FROM cache_values WHERE key = ? AND expires_at_ms > ?"
        parameters = (key, self._clock.wall_ms())
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchone())
        return bytes(found[0]) if found else None

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """Insert or replace."""
        statement = "INSERT OR REPLACE INTO cache_values (key, value, expires_at_ms) VALUES (?, ?, ?)"
        parameters = (key, value, self._clock.wall_ms() + ttl_ms)
        await self._database.write(lambda connection: connection.execute(statement, parameters).rowcount)

    async def delete(self, key: str) -> None:
        """Value, claim or map."""

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM cache_values WHERE key = ?", (key,))
            connection.execute("DELETE FROM cache_fields WHERE key = ?", (key,))

        await self._database.write(remove)

    async def claim(self, key: str, owner: str, *, ttl_ms: int) -> bool:
        """A claim is a value that holds its owner. Claiming again does not lengthen it."""
        now_ms = self._clock.wall_ms()

        def take(connection: sqlite3.Connection) -> bool:
            statement = "SELECT value FROM cache_values WHERE key = ? AND expires_at_ms > ?"
            found = connection.execute(statement, (key, now_ms)).fetchone()
            if found is not None:
                return bytes(found[0]) == owner.encode()
            connection.execute(
                "INSERT OR REPLACE INTO cache_values (key, value, expires_at_ms) VALUES (?, ?, ?)",
                (key, owner.encode(), now_ms + ttl_ms),
            )
            return True

        return await self._database.write(take)

    async def get_map(self, key: str) -> dict[str, bytes]:
        """The fields that have not expired; all of a map's fields expire together."""
        statement = "SELECT field, value FROM cache_fields WHERE key = ? AND expires_at_ms > ? ORDER BY field"
        parameters = (key, self._clock.wall_ms())
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())
        return {field: bytes(value) for field, value in found}

    async def set_field(self, key: str, field: str, value: bytes, *, ttl_ms: int) -> None:
        """An expired map begins anew; otherwise every field lives as long as the newest."""
        now_ms = self._clock.wall_ms()

        def put(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM cache_fields WHERE key = ? AND expires_at_ms <= ?", (key, now_ms))
            connection.execute(
                "INSERT OR REPLACE INTO cache_fields (key, field, value, expires_at_ms) VALUES (?, ?, ?, ?)",
                (key, field, value, now_ms + ttl_ms),
            )
            connection.execute("UPDATE cache_fields SET expires_at_ms = ? WHERE key = ?", (now_ms + ttl_ms, key))

        await self._database.write(put)

    async def prune(self) -> int:
        """Bounded transactions, one after the other."""
        pruned = 0
        now_ms = self._clock.wall_ms()
        for statement in _PRUNE:
            removed = _PRUNE_ROWS
            while removed == _PRUNE_ROWS:
                removed = await self._database.write(_deletion(statement, now_ms))
                pruned += removed
        return pruned

    async def close(self) -> None:
        """Nothing of its own to close."""


def _deletion(statement: str, now_ms: int) -> Callable[[sqlite3.Connection], int]:
    def delete(connection: sqlite3.Connection) -> int:
        return connection.execute(statement, (now_ms, _PRUNE_ROWS)).rowcount

    return delete
