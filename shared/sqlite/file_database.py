"""The database of the embedded set: one SQLite file in WAL mode, written by several processes at once."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast

from shared.domain.errors import PermanentError
from shared.sqlite.base import Database, registered_names
from shared.sqlite.checkpointer import Checkpointer
from shared.sqlite.errors import closed_error, held_error, translated
from shared.sqlite.file_lock import FileLock
from shared.sqlite.promises import Promise, promise_of
from shared.sqlite.readers import Readers
from shared.sqlite.schema import migrate, refuse_foreign
from shared.sqlite.watcher import DueProbe, Watcher
from shared.sqlite.writer import Writer

_BUSY_TIMEOUT_SECONDS: Final = 30.0  # a backstop: processes queue at the file lock
_WRITE_SECONDS_MAX: Final = 30.0
_READERS: Final = 2
# A thread that comes back from SQLite, file lock in hand, waits at most this long for a busy interpreter (default 5 ms).
_SWITCH_INTERVAL_SECONDS: Final = 0.0005

Result = TypeVar("Result")


class FileDatabase(Database):
    """A writing thread, reading threads, a watcher and a checkpointer over one file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._closed = False
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_SECONDS))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # One descriptor each: flock does not tell threads apart that share one.
            self._write_lock = FileLock(f"{path}.lock")
            self._start_up_lock = FileLock(f"{path}.lock")
            writing = self._prepare()
            self._watcher = Watcher(self._connect(reading=True), self.path)
            self._readers = Readers(lambda: self._connect(reading=True), self.path, _READERS)
            self._checkpointer = Checkpointer(self._connect(), self.path)
            self._writer = Writer(writing, self._write_lock, self.path, self._watcher.notify)
        except (sqlite3.Error, OSError) as error:
            raise translated(error, self.path) from error

    async def read(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run it on a reading thread."""
        self._check_open()
        promise = promise_of(operation)
        self._readers.submit(promise)
        return cast("Result", await promise.future)

    async def write(
        self, operation: Callable[[sqlite3.Connection], Result], *, fully_synchronous: bool = False
    ) -> Result:
        """Run it on the writing thread, in one transaction with whatever else is queued."""
        self._check_open()
        promise = promise_of(operation, fully_synchronous=fully_synchronous)
        self._writer.submit(promise)
        # What is too late may still be written: at-least-once, as with any broker whose answer got lost.
        timer = promise.loop.call_later(_WRITE_SECONDS_MAX, self._give_up, promise)
        try:
            return cast("Result", await promise.future)
        finally:
            timer.cancel()

    def write_later(self, operation: Callable[[sqlite3.Connection], object]) -> None:
        """Behind what is queued already."""
        if not self._closed:
            promise = promise_of(operation)
            promise.future.add_done_callback(_hear)
            self._writer.submit(promise)

    async def wait_until_due(self, probe: DueProbe, now_ms: Callable[[], int], timeout_seconds: float) -> bool:
        """Polled by the watcher, off the event loop."""
        self._check_open()
        if timeout_seconds <= 0:
            due_ms = await self.read(probe)
            return due_ms is not None and due_ms <= now_ms()
        return await self._watcher.wait(probe, now_ms, timeout_seconds)

    def release_waiters(self) -> None:
        """Through the watcher."""
        self._watcher.release_all()

    def name_ids(self, kind: str, names: Sequence[str]) -> dict[str, int]:
        """In a short transaction of its own connection; most starts find all names there and write nothing."""
        self._check_open()
        try:
            connection = self._connect()
            try:
                known = dict(connection.execute("SELECT name, id FROM names WHERE kind = ?", (kind,)).fetchall())
                if all(name in known for name in names):
                    return {name: known[name] for name in names}
                with self._start_up_lock.held(), connection:
                    connection.execute("BEGIN IMMEDIATE")
                    return registered_names(connection, kind, names)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise translated(error, self.path) from error

    async def close(self) -> None:
        """Threads end after their queues; the last process that closes leaves one file without a log."""
        if self._closed:
            return
        self._closed = True
        self._watcher.release_all()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._watcher.close()
        self._readers.close()
        self._checkpointer.close()
        self._writer.close()
        self._write_lock.close()
        self._start_up_lock.close()

    def _prepare(self) -> sqlite3.Connection:
        with self._start_up_lock.held():
            refuse_foreign(self.path)
            connection = self._connect()
            migrate(connection, self.path)
        return connection

    def _connect(self, *, reading: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,  # made here, used by one thread each
            cached_statements=512,
            timeout=_BUSY_TIMEOUT_SECONDS,
        )
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            connection.close()
            raise PermanentError(
                f"{self.path} cannot be shared by processes there (journal mode {mode}): use a local disk"
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -4000")
        if reading:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _give_up(self, promise: Promise) -> None:
        if not promise.future.done():
            promise.future.set_exception(held_error(self.path, _WRITE_SECONDS_MAX))

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.path)


def _hear(future: asyncio.Future[object]) -> None:
    """Nobody waits for this one: an error of it is no news."""
    if not future.cancelled():
        future.exception()
