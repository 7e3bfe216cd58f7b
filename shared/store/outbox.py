"""The outbox on the store: a row per (event, chat) that stays, and a mark per row whose outcome is still open.

The row makes a redelivered event harmless; the mark lets a restart find what is left to do without reading every row
ever written. Both are durable before an event is acknowledged. A mark without need (its row is final) is harmless:
whoever finds it removes it.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Final

import msgspec

from shared.domain.outbox import OutboxRow, OutboxState
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write, key_of, prefix_range

TABLE: Final = "outbox"
OPEN_TABLE: Final = "outbox-open"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(OutboxRow)
_AFTER_EVERY_KEY: Final = "\U0010ffff"


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row with the revision under which it is stored."""

    row: OutboxRow
    revision: int


class OutboxStore:
    """Adds, finds and updates rows; every update carries the revision it was made from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, rows: Sequence[OutboxRow]) -> list[StoredRow]:
        """Store rows that are not there yet, durably, and mark all open ones; returns those that were new.

        A row that is there already belongs to a redelivered event: it keeps its state.
        """
        added = [row_write(row, expected_revision=0, fence=None) for row in rows]
        marks = [Write(table=OPEN_TABLE, key=outbox_key(row), value=b"") for row in rows if not row.is_final]
        outcomes = await self._store.write([*added, *marks])
        pairs = zip(rows, outcomes, strict=False)  # the marks' outcomes say nothing
        return [StoredRow(row=row, revision=1) for row, outcome in pairs if outcome is Outcome.WRITTEN]

    async def open_rows(self, *, skip: Container[str] = ()) -> list[StoredRow]:
        """Every row whose outcome is open, oldest first; marks whose row is final are removed on the way.

        skip: keys (chat#event id) the caller knows already; their rows are not read.
        """
        marks = await self._store.scan(OPEN_TABLE, "", _AFTER_EVERY_KEY)
        found = await self._store.get_many(TABLE, [mark.key for mark in marks if mark.key not in skip])
        stored = {key: _decode(row) for key, row in found.items()}
        await self.unmark(key for key, item in stored.items() if item.row.is_final)
        waiting = [item for item in stored.values() if not item.row.is_final]
        return sorted(waiting, key=lambda item: (item.row.queued_at_ms, outbox_key(item.row)))

    async def get(self, chat: str, event_id: str) -> OutboxRow | None:
        """The row of an event in a chat."""
        row = await self._store.get(TABLE, key_of(chat, event_id))
        return _decode(row).row if row else None

    async def counts(self, chat: str) -> dict[OutboxState, int]:
        """How many rows of a chat are in each state; reads all of them (for reports, not for the hot path)."""
        rows = await self._store.scan(TABLE, *prefix_range(chat))
        return dict(Counter(_decode(row).row.state for row in rows))

    async def update(self, rows: Sequence[StoredRow], fence: int) -> list[StoredRow | None]:
        """Write each row over the revision it carries; None where another sender was faster or is newer."""
        writes = [row_write(item.row, expected_revision=item.revision, fence=fence) for item in rows]
        outcomes = await self._store.write(writes)
        return updated(rows, outcomes)

    async def unmark(self, keys: Iterable[str]) -> None:
        """Remove the marks of final rows."""
        listed = list(keys)
        if listed:
            await self._store.delete(OPEN_TABLE, listed)


def outbox_key(row: OutboxRow) -> str:
    """chat#event id."""
    return key_of(row.chat, row.event_id)


def row_write(row: OutboxRow, *, expected_revision: int, fence: int | None) -> Write:
    """The write of a row over the revision given."""
    value = LAYOUT + _ENCODER.encode(row)
    return Write(table=TABLE, key=outbox_key(row), value=value, expected_revision=expected_revision, fence=fence)


def updated(rows: Sequence[StoredRow], outcomes: Sequence[Outcome]) -> list[StoredRow | None]:
    """The rows under their new revisions, None where the write was refused."""
    pairs = zip(rows, outcomes, strict=True)
    return [
        StoredRow(row=item.row, revision=item.revision + 1) if outcome is Outcome.WRITTEN else None
        for item, outcome in pairs
    ]


def _decode(row: Row) -> StoredRow:
    return StoredRow(row=_DECODER.decode(payload(TABLE, row)), revision=row.revision)
