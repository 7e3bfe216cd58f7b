"""The first byte of a row's value says how the rest is laid out. A row of another version is named, never guessed at."""

from typing import Final

from shared.domain.errors import TransientError
from shared.store.port import Row

LAYOUT: Final = b"\x01"


class UnknownLayoutError(TransientError):
    """Another version of this program wrote the row. Transient: the message that needs it is innocent, and waits for that version."""


def payload(table: str, row: Row) -> bytes:
    """What follows the layout byte. Raises UnknownLayoutError naming table, row and both layouts."""
    if row.value[:1] != LAYOUT:
        was = row.value[0] if row.value else None
        raise UnknownLayoutError(
            f"a row's layout must be {LAYOUT[0]}, was {was}: another version of this program wrote it (table {table}, row {row.key})"
        )
    return row.value[1:]
