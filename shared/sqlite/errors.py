"""SQLite's and the file system's errors as ours: what happened to which file, and what to do about it."""

import errno
import sqlite3
from typing import Final

from shared.domain.errors import PermanentError, TransientError

_PRIMARY_CODE: Final = 0xFF  # extended result codes keep the primary one in their lowest byte
_DAMAGED: Final = "{path} is damaged or no SQLite file ({error}): move it away, then start again"
_UNWRITABLE: Final = "cannot write {path} ({error}): make the file and its folder writable"
_LOCKED: Final = "{path} stayed locked ({error}): another process holds it; see `start_services.sh status`"
_MEANING: Final[dict[int, tuple[type[Exception], str]]] = {
    sqlite3.SQLITE_CORRUPT: (PermanentError, _DAMAGED),
    sqlite3.SQLITE_NOTADB: (PermanentError, _DAMAGED),
    sqlite3.SQLITE_CANTOPEN: (PermanentError, _UNWRITABLE),
    sqlite3.SQLITE_READONLY: (PermanentError, _UNWRITABLE),
    sqlite3.SQLITE_PERM: (PermanentError, _UNWRITABLE),
    sqlite3.SQLITE_FULL: (TransientError, "no space left for {path} ({error}): free disk space, it goes on by itself"),
    sqlite3.SQLITE_IOERR: (TransientError, "reading or writing {path} failed ({error}): check free space and the disk"),
    sqlite3.SQLITE_BUSY: (TransientError, _LOCKED),
    sqlite3.SQLITE_LOCKED: (TransientError, _LOCKED),
}


def translated(error: Exception, path: str) -> Exception:
    """Our error for one of SQLite's or the operating system's; any other error comes back as it is."""
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return TransientError(f"no space left for {path} ({error}): free disk space")
        return PermanentError(f"cannot use {path} ({error}): make its folder writable or choose another DATA_DIR")
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
        if code in _MEANING:
            kind, text = _MEANING[code]
            return kind(text.format(path=path, error=error))
        if code == 0 and "closed database" in str(error):
            return closed_error(path)
    return error


def closed_error(path: str) -> TransientError:
    """What a caller hears who comes too late."""
    return TransientError(f"{path} is closed: the service is shutting down")


def held_error(path: str, seconds: float) -> TransientError:
    """What a caller hears whose write could not begin or end in time."""
    return TransientError(
        f"{path} could not be written for {seconds:g} s: another process holds its lock (stopped?), or the disk hangs;"
        " see `start_services.sh status`"
    )
