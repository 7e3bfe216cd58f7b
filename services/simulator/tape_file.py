"""Opens a tape: CSV, plain or gzip by its name."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from services.simulator.core.tape_source import TapeError


def tape_lines(path: Path) -> Iterator[str]:
    """The lines of a tape. Raises TapeError, with the last good line, when the file is missing, damaged or cut."""
    line = 0
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open("rt", newline="") as file:
            for text in file:
                line += 1
                yield text
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise TapeError(f"{path}: damaged or cut after line {line} ({error}); copy the file again") from error
    except OSError as error:
        raise TapeError(f"{path}: cannot be read ({error.strerror}); check SIMULATOR_TAPE") from error
