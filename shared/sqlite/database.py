"""The one embedded database of a process: bus, store and cache share it, and with it every group commit.

database = open_database(settings.database_file)      # once per process and file
database = open_database(":memory:")                  # tests: no threads, no file
"""

from pathlib import Path

from shared.sqlite.base import MEMORY, Database
from shared.sqlite.file_database import FileDatabase
from shared.sqlite.memory_database import MemoryDatabase

__all__ = ["MEMORY", "Database", "open_database"]


def open_database(path: str | Path) -> Database:
    """Open or create the file and bring its schema up to date; its folder is created. ":memory:" has no file."""
    return MemoryDatabase() if str(path) == MEMORY else FileDatabase(Path(path))
