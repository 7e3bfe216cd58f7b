"""Moves the write-ahead log into the file, beside the writers instead of inside somebody's commit."""

import sqlite3
import threading
from pathlib import Path
from typing import Final

from shared.sqlite.file_lock import FileLock

_INTERVAL_SECONDS: Final = 1.0
_PATIENCE_MS: Final = 100  # how long writers wait for a long reader at most; the next round tries again
WAL_BYTES_WORTH_IT: Final = 4_000_000
# Passive checkpoints let writers go on, so under steady writing the log never empties; at this size writers wait once.
WAL_BYTES_MAX: Final = 64_000_000


class Checkpointer:
    """A thread in every process; a lock lets one of them work at a time."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        self._log_path = Path(f"{path}-wal")
        self._write_lock = FileLock(f"{path}.lock")
        self._turn = FileLock(f"{path}.checkpoint.lock")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sqlite-checkpointer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the last connection that closes empties the log."""
        self._stopping.set()
        self._thread.join()
        self._connection.close()
        self._turn.close()
        self._write_lock.close()

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_SECONDS):
            if self._log_bytes() < WAL_BYTES_WORTH_IT or not self._turn.try_acquire():
                continue
            try:
                self._checkpoint()
            except sqlite3.Error:
                # Nothing is lost: the log keeps everything, the next round tries again, and writers report a bad disk.
                continue
            finally:
                self._turn.release()

    def _checkpoint(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if self._log_bytes() > WAL_BYTES_MAX:
            # The passive round did nearly all the work and its syncing; what is left to do under the lock is short.
            with self._write_lock.held():
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _log_bytes(self) -> int:
        try:
            return self._log_path.stat().st_size
        except FileNotFoundError:
            return 0
