"""The one thread of a process that writes: whatever is queued goes into one transaction, a group commit."""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

from shared.sqlite.errors import translated
from shared.sqlite.file_lock import FileLock
from shared.sqlite.log_file import SynchronisedLog
from shared.sqlite.promises import Promise, deliver

_GROUP_OPERATIONS_MAX: Final = 256
# Once a group has held the file this long, the rest waits for the next one: other processes want to write too.
_GROUP_SECONDS_MAX: Final = 0.004


class Writer:
    """Runs operations in groups: BEGIN IMMEDIATE, each operation in its savepoint, COMMIT, then the promises.

    An operation that fails is undone alone. A commit that fails fails all of its group.
    """

    def __init__(
        self, connection: sqlite3.Connection, lock: FileLock, path: str, on_commit: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._path = path
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[Promise | None] = queue.SimpleQueue()
        self._left_over: list[Promise] = []
        self._log = SynchronisedLog(path)
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def submit(self, promise: Promise) -> None:
        """Queue it; its future resolves once it is committed."""
        self._queue.put(promise)

    def close(self) -> None:
        """Write what is queued, then end. Later submissions are never answered."""
        self._queue.put(None)
        self._thread.join()
        self._log.close()
        self._connection.close()

    def _run(self) -> None:
        while True:
            first = self._left_over.pop(0) if self._left_over else self._queue.get()
            if first is None:
                return
            stopping = self._write_group(first)
            if stopping:
                while self._left_over:
                    self._write_group(self._left_over.pop(0))
                return

    def _write_group(self, first: Promise) -> bool:
        group: list[Promise] = [first]
        stopping = False
        try:
            with self._lock.held():
                stopping = self._fill(group)
                self._left_over = self._commit(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            failure = translated(error, self._path)
            for promise in group:
                promise.error = failure
            self._left_over = []
        self._answer(group[: len(group) - len(self._left_over)])
        return stopping

    def _answer(self, group: list[Promise]) -> None:
        """At once, or after the log is on disk for those who asked for that: nobody else waits for the disk."""
        waiting = [promise for promise in group if promise.fully_synchronous and promise.error is None]
        deliver([promise for promise in group if promise not in waiting] if waiting else group)
        self._on_commit()
        if waiting:
            try:
                self._log.synchronise()
            except OSError as error:
                for promise in waiting:
                    promise.error = translated(error, self._path)
            deliver(waiting)

    def _fill(self, group: list[Promise]) -> bool:
        """Add all that came while we queued for the lock; true when asked to stop."""
        group.extend(self._left_over)
        self._left_over = []
        while len(group) < _GROUP_OPERATIONS_MAX:
            try:
                promise = self._queue.get_nowait()
            except queue.Empty:
                return False
            if promise is None:
                return True
            group.append(promise)
        return False

    def _commit(self, group: list[Promise]) -> list[Promise]:
        """One transaction; returns those it left for the next."""
        began = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        left_over: list[Promise] = []
        try:
            for number, promise in enumerate(group):
                if number and time.perf_counter() - began > _GROUP_SECONDS_MAX:
                    left_over = group[number:]
                    break
                self._apply(promise)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return left_over

    def _apply(self, promise: Promise) -> None:
        self._connection.execute("SAVEPOINT operation")
        try:
            promise.value = promise.operation(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:  # a full disk, say, ends the whole transaction
                raise
            self._connection.execute("ROLLBACK TO operation")
            promise.error = translated(error, self._path)
        self._connection.execute("RELEASE operation")
