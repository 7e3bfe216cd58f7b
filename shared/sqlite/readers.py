"""Threads that read, each with its own connection: readers never wait for writers, nor the event loop for the disk."""

import queue
import sqlite3
import threading
from collections.abc import Callable

from shared.sqlite.errors import translated
from shared.sqlite.promises import Promise, deliver


class Readers:
    """A few reading threads with one queue."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: str, count: int) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[Promise | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(connect(),), name=f"sqlite-reader-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, promise: Promise) -> None:
        """Queue it; its future resolves with what it read."""
        self._queue.put(promise)

    def close(self) -> None:
        """Answer what is queued, then end."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, connection: sqlite3.Connection) -> None:
        while (promise := self._queue.get()) is not None:
            try:
                promise.value = promise.operation(connection)
            except Exception as error:  # noqa: BLE001 - the waiter gets it
                promise.error = translated(error, self._path)
            deliver([promise])
        connection.close()
