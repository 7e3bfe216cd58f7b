"""Many rows in few statements.

Python's sqlite3 gives up the interpreter lock around every step of a statement and has to win it back from whatever
else runs: with a busy event loop that costs a switch interval per row while the write lock is held. One statement
with many rows steps once.
"""

import functools
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

# Few sizes, so that every statement stays in the connection's cache of prepared ones.
_CHUNK_ROWS: Final = (128, 32, 8, 2, 1)


def insert_rows(connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run `insert` ("INSERT ... VALUES", all rows of equal width) over the rows; returns how many were inserted."""
    inserted = 0
    start = 0
    for size in _CHUNK_ROWS:
        while len(rows) - start >= size:
            statement = _statement(insert, size, len(rows[start]))
            inserted += connection.execute(statement, list(chain.from_iterable(rows[start : start + size]))).rowcount
            start += size
    return inserted


@functools.cache
def _statement(insert: str, rows: int, width: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return f"{insert} " + ",".join([row] * rows)
