"""Pending marks: minutes that still need folding or announcing, and holes still to be filled."""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import msgspec

from shared.store.port import Store, Write

TABLE: Final = "pending-minutes"
_EVERYTHING: Final = ("", "\x7f")


class MarkKind(Enum):
    """TOUCHED: its trades or its announcement are not finished. HOLE: announced as partial, to be repaired."""

    TOUCHED = b"\x01"
    HOLE = b"\x02"

    __hash__ = object.__hash__  # an Enum's own is written in Python


_VALUES: Final = {kind: kind.value for kind in MarkKind}


class MinuteKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """One minute of one symbol; sorts by time first, as minutes close."""

    minute_ms: int
    exchange: str
    symbol: str


class PendingStore:
    """Marks are idempotent rows, exchange#symbol#<minute>; they need no fence: one mark too many costs one fold."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> dict[MinuteKey, MarkKind]:
        """Every mark."""
        marks = {}
        for row in await self._store.scan(TABLE, *_EVERYTHING):
            exchange, symbol, minute = row.key.split("#")
            marks[MinuteKey(int(minute), exchange, symbol)] = MarkKind(row.value)
        return marks

    def write_of(self, minute: MinuteKey, kind: MarkKind = MarkKind.TOUCHED) -> Write:
        """The write that sets the mark."""
        return Write(table=TABLE, key=_key(minute), value=_VALUES[kind])

    async def mark(self, minutes: Iterable[MinuteKey], kind: MarkKind = MarkKind.TOUCHED) -> None:
        """Set the marks, durable when it returns."""
        if writes := [self.write_of(minute, kind) for minute in minutes]:
            await self._store.write(writes)

    async def clear(self, minutes: Iterable[MinuteKey]) -> None:
        """Remove the marks; absent ones are no error."""
        if keys := [_key(minute) for minute in minutes]:
            await self._store.delete(TABLE, keys)


def _key(minute: MinuteKey) -> str:
    return f"{minute.exchange}#{minute.symbol}#{minute.minute_ms:015d}"
