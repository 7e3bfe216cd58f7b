"""SQLite's and the file system's errors as ours: what happened to which file, and what to do about it."""

import sqlite3
from typing import Final

from shared.domain.errors import PermanentError, TransientError

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNWRITABLE: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY_CODE: Final = 0xFF  # extended result codes keep the primary one in their lowest byte


def translated(error: Exception, path: str) -> Exception:
    """Our error for one of SQLite's or the operating system's; any other error comes back as it is."""
    if isinstance(error, OSError):
        return PermanentError(f"cannot use {path}: {error}; make its folder writable or choose another DATA_DIR")
    if not isinstance(error, sqlite3.Error):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in _DAMAGED:
        return PermanentError(f"{path} is damaged or no SQLite file ({error}): move it away, then start again")
    if code in _UNWRITABLE:
        return PermanentError(f"cannot write {path} ({error}): make the file and its folder writable")
    if code == sqlite3.SQLITE_FULL:
        return TransientError(f"no space left for {path} ({error}): free some disk space, nothing else is needed")
    if code == sqlite3.SQLITE_IOERR:
        return TransientError(f"the disk of {path} failed ({error}): check free space and the disk")
    if code in _BUSY:
        return TransientError(
            f"{path} stayed locked ({error}): another process holds it; see `start_services.sh status`"
        )
    return error
