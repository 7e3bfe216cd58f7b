"""A copy of the embedded file while services write it, and the way back from a copy."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared.domain.errors import PermanentError
from shared.sqlite.file_lock import FileLock
from shared.sqlite.schema import refuse_foreign

Progress = Callable[[int, int], None]  # pages copied, pages in all
_PAGES_PER_STEP: Final = 2_000
_FAULTS_SHOWN_MAX: Final = 3
_BESIDE: Final = ("", "-wal", "-shm")  # the files of one database


def copy_database(source: Path, target: Path, *, on_progress: Progress | None = None) -> int:
    """Copy the database as it is at this moment, checked and safe on disk; returns its bytes. Writers go on meanwhile.

    One read transaction holds the moment: without it SQLite begins the copy anew after every commit of another process, so
    that a copy of a busy file would never end. The target appears only when it is whole. Raises PermanentError where
    the source is none of ours, the target is there already, or the copy is damaged.
    """
    if not source.is_file():
        raise PermanentError(f"there is no database to copy: {source} (DATA_DIR names its folder)")
    if target.exists():
        raise PermanentError(f"{target} is there already: name another file, or move it away")
    refuse_foreign(str(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        _copy(source, partial, on_progress)
        check_database(partial)
        _on_disk(partial)
        partial.replace(target)
    except sqlite3.Error as error:
        raise PermanentError(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        _remove(partial)
    _on_disk(target.parent)
    return target.stat().st_size


def _copy(source: Path, partial: Path, on_progress: Progress | None) -> None:
    def told(_: int, remaining: int, total: int) -> None:
        if on_progress is not None:
            on_progress(total - remaining, total)

    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment begins with the first read
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as writing:
            reading.backup(writing, pages=_PAGES_PER_STEP, progress=told, sleep=0)
            writing.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        reading.execute("ROLLBACK")


def check_database(path: Path) -> None:
    """Read every page. Raises PermanentError where the file is damaged, another program's, or of a newer version."""
    if not path.is_file():
        raise PermanentError(f"there is no such file: {path}")
    try:
        refuse_foreign(str(path))
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            faults = [str(row[0]) for row in connection.execute("PRAGMA integrity_check").fetchall()]
    except sqlite3.Error as error:
        raise PermanentError(f"{path} is not a whole database: {error}") from error
    if faults != ["ok"]:
        raise PermanentError(f"{path} is damaged: {'; '.join(faults[:_FAULTS_SHOWN_MAX])}")


def restore_database(backup: Path, target: Path, *, now: datetime | None = None) -> Path | None:
    """Put the copy in the place of the database; returns where the former one was moved, None where there was none.

    Raises PermanentError where the copy is damaged, or where any process has the database open. Nobody can open it
    meanwhile: whoever starts waits at the lock.
    """
    check_database(backup)
    target.parent.mkdir(parents=True, exist_ok=True)
    coming = target.with_name(f"{target.name}.restoring")
    with _alone(target):
        shutil.copyfile(backup, coming)
        _on_disk(coming)
        former = _set_aside(target, now or datetime.now(UTC))
        coming.replace(target)
        _on_disk(target.parent)
    return former


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    in_use = f"{target} is in use: stop the services first (./start_services.sh stop)"
    lock = FileLock(f"{target}.lock")
    try:
        if not lock.try_acquire():
            raise PermanentError(in_use)
        if target.exists() and not _closed_by_all(target):
            raise PermanentError(in_use)
        yield
    finally:
        lock.close()


def _closed_by_all(target: Path) -> bool:
    """Whether no other process has it open: only then SQLite lets the log go, and brings what is in it home."""
    try:
        with contextlib.closing(sqlite3.connect(target, timeout=0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        return "locked" not in str(error) and "busy" not in str(error)
    except sqlite3.DatabaseError:  # damaged: perhaps why there is something to restore
        return True
    return True


def _set_aside(target: Path, now: datetime) -> Path | None:
    """Nothing is deleted: the former database keeps its files, under a name that says when."""
    if not target.exists():
        return None
    former = target.with_name(f"{target.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
    if former.exists():
        raise PermanentError(f"{former} is there already: try again in a second")
    for beside in _BESIDE:
        file = Path(f"{target}{beside}")
        if file.exists():
            file.rename(f"{former}{beside}")
    return former


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for beside in (*_BESIDE, "-journal"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
