"""What `cst backup` and `cst restore` do beyond copying: names, progress, old copies, a platform that runs."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from cli.supervisor.processes import read_running
from shared.domain.errors import PermanentError
from shared.runtime.settings import ServiceSettings
from shared.sqlite.backup import copy_database, restore_database

_NAME: Final = "tracker-{:%Y%m%dT%H%M%SZ}.db"
_PATTERN: Final = "tracker-????????T??????Z.db"
_NAME_WAIT_SECONDS: Final = 0.05
_PAGE_BYTES: Final = 4_096
_MEGABYTE: Final = 1_000_000


def run_backup(out: Path | None, keep: int | None) -> str:
    """Copy the file to `out`: a file, or a folder that gets one named by the time; returns what to print."""
    settings = ServiceSettings.load()
    folder = out if out is not None and (out.is_dir() or not out.suffix) else None
    target = out if out is not None and folder is None else None
    if target is None:
        folder = folder or settings.data_dir / "backups"
        target = _unused(folder)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("copying", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done * _PAGE_BYTES, total=total * _PAGE_BYTES)

        size = copy_database(settings.database_file, target, on_progress=told)
    lines = [f"{target}: {size / _MEGABYTE:.1f} MB, every page checked"]
    if keep is not None and folder is not None:
        lines += [f"removed: {file}" for file in _remove_old(folder, keep)]
    return "\n".join(lines)


def _unused(folder: Path) -> Path:
    """A name by the time in whole seconds; a second copy within one waits for the next."""
    while (target := folder / _NAME.format(datetime.now(UTC))).exists():
        time.sleep(_NAME_WAIT_SECONDS)  # a command has nothing else to do meanwhile
    return target


def run_restore(backup: Path) -> str:
    """Put the copy in the database's place; returns what to print. Raises PermanentError where services run."""
    settings = ServiceSettings.load()
    alive = [process.name for process in read_running(settings.data_dir / "run") if process.alive]
    if alive:
        names = ", ".join(alive)
        raise PermanentError(f"{names} run(s) in {settings.data_dir}: stop first (./start_services.sh stop)")
    former = restore_database(backup, settings.database_file)
    lines = [f"{settings.database_file} is {backup} now, every page checked"]
    if former is not None:
        lines.append(f"what was there before: {former}")
    return "\n".join(lines)


def _remove_old(folder: Path, keep: int) -> list[Path]:
    """Of the copies named by time only the newest `keep` stay."""
    old = sorted(folder.glob(_PATTERN))[:-keep]
    for file in old:
        file.unlink()
    return old
