"""The database of a replay or a test: in memory, without threads; each operation runs at once."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from shared.sqlite.base import MEMORY, Database, registered_names
from shared.sqlite.errors import closed_error, translated
from shared.sqlite.schema import migrate
from shared.sqlite.watcher import DueProbe

_POLL_SECONDS: Final = 0.005  # a clock that a test moves by hand tells nobody
Result = TypeVar("Result")


class MemoryDatabase(Database):
    """One connection for everything; lost when closed."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(MEMORY, isolation_level=None, cached_statements=512)
        self._connection.execute("PRAGMA temp_store = MEMORY")
        migrate(self._connection, MEMORY)
        self._changes: set[asyncio.Event] = set()
        self._released = 0
        self._closed = False

    async def read(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run it now."""
        self._check_open()
        try:
            return operation(self._connection)
        except sqlite3.Error as error:
            raise translated(error, MEMORY) from error

    async def write(
        self, operation: Callable[[sqlite3.Connection], Result], *, fully_synchronous: bool = False
    ) -> Result:
        """Run it now in a transaction of its own; there is no disk to synchronise with."""
        del fully_synchronous
        self._check_open()
        result = self._transact(operation)
        for change in self._changes:
            change.set()
        return result

    def write_later(self, operation: Callable[[sqlite3.Connection], object]) -> None:
        """Now, in fact."""
        if not self._closed:
            self._transact(operation)

    async def wait_until_due(self, probe: DueProbe, now_ms: Callable[[], int], timeout_seconds: float) -> bool:
        """Looks after every write, and now and then for the clock."""
        self._check_open()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        released = self._released
        change = asyncio.Event()
        self._changes.add(change)
        try:
            while not self._closed and self._released == released:
                due_ms = probe(self._connection)
                if due_ms is not None and due_ms <= now_ms():
                    return True
                remaining = deadline - loop.time()
                if remaining <= 0:
                    return False
                change.clear()
                await _set_within(change, min(remaining, _POLL_SECONDS) if due_ms is not None else remaining)
            return False
        finally:
            self._changes.discard(change)

    def release_waiters(self) -> None:
        """Wake them; they see that they were released."""
        self._released += 1
        for change in self._changes:
            change.set()

    def name_ids(self, kind: str, names: Sequence[str]) -> dict[str, int]:
        """Registers them."""
        return self._transact(lambda connection: registered_names(connection, kind, names))

    async def close(self) -> None:
        """Forget everything."""
        if not self._closed:
            self._closed = True
            self.release_waiters()
            self._connection.close()

    def _transact(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        execute = self._connection.execute
        execute("BEGIN")
        try:
            result = operation(self._connection)
        except BaseException as error:
            execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translated(error, MEMORY) from error
            raise
        execute("COMMIT")
        return result

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(MEMORY)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
