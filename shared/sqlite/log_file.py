"""What PRAGMA synchronous=FULL does after a commit, done after the write lock is given back.

FULL would sync the write-ahead log while every other process waits for the lock: a disk's whole latency in everybody's
commit. The log only grows or, once all of it is in the synced database file, starts anew; so syncing it after the commit
and before answering gives the caller the same promise: what was answered survives a power cut.
"""

import os
from pathlib import Path
from typing import Final

_synchronise: Final = getattr(os, "fdatasync", os.fsync)  # macOS knows only the latter


class SynchronisedLog:
    """The write-ahead log of one database; it exists as long as any process has the database open."""

    def __init__(self, path: str) -> None:
        self._path = Path(f"{path}-wal")
        self._descriptor: int | None = None

    def synchronise(self) -> None:
        """Everything committed before this call is on disk after it."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            _synchronise_folder(self._path.parent)
        _synchronise(self._descriptor)

    def close(self) -> None:
        """Forget the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _synchronise_folder(folder: Path) -> None:
    """A new file is found again only once its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
