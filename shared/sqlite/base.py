"""What every kind of embedded database offers to the adapters that share it."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from shared.sqlite.bulk import insert_rows
from shared.sqlite.watcher import DueProbe

MEMORY: Final = ":memory:"

Result = TypeVar("Result")


class Database(ABC):
    """What the adapters need. An operation gets a connection and uses it within the call only.

    Raises PermanentError (damaged, unwritable, of another version) or TransientError (disk full, locked) naming the file.
    """

    @abstractmethod
    async def read(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run it on a reading connection; it sees everything committed so far."""

    @abstractmethod
    async def write(
        self, operation: Callable[[sqlite3.Connection], Result], *, fully_synchronous: bool = False
    ) -> Result:
        """Run it in a write transaction; returns its result once committed. An exception in it undoes it alone.

        fully_synchronous: on disk before it returns; otherwise safe from kill -9, and a power cut drops a common suffix.
        """

    @abstractmethod
    def write_later(self, operation: Callable[[sqlite3.Connection], object]) -> None:
        """Queue a write that nobody waits for and that may be lost; after every write asked for before it."""

    @abstractmethod
    async def wait_until_due(self, probe: DueProbe, now_ms: Callable[[], int], timeout_seconds: float) -> bool:
        """Wait until now_ms() reaches what the probe reads (None: never); false after the timeout or when released."""

    @abstractmethod
    def release_waiters(self) -> None:
        """Every wait_until_due returns false now."""

    @abstractmethod
    def name_ids(self, kind: str, names: Sequence[str]) -> dict[str, int]:
        """The small integers that stand for names in the tables, made where new. Blocks a moment: for start-up only."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what is queued and close the file. Operations after it raise TransientError."""


def registered_names(connection: sqlite3.Connection, kind: str, names: Sequence[str]) -> dict[str, int]:
    """`name_ids` on one connection, inside the caller's write transaction."""
    insert_rows(connection, "INSERT OR IGNORE INTO names (kind, name) VALUES", [(kind, name) for name in names])
    known = dict(connection.execute("SELECT name, id FROM names WHERE kind = ?", (kind,)).fetchall())
    return {name: known[name] for name in names}
