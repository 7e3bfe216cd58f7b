"""Latches on the store: one row per series of a strategy, with the alerts its last candle raised.

Latches and alerts stand in one row, so that neither is ever stored without the other.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.errors import FencedError, TransientError
from shared.domain.events import AlertRaised
from shared.domain.slots import SlotKey
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write

TABLE: Final = "alert-latches"
_ENCODER: Final = msgspec.msgpack.Encoder()


class LatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """active: latches set after the candle that closed at close_time_ms; raised: what it raised. revision 0: not stored."""

    active: tuple[str, ...] = ()
    close_time_ms: int = 0
    raised: tuple[AlertRaised, ...] = ()
    revision: int = 0


_DECODER: Final = msgspec.msgpack.Decoder(LatchRow)


class LatchStore:
    """Reads and writes the rows by (strategy, exchange, symbol)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_many(self, keys: Sequence[SlotKey]) -> dict[SlotKey, LatchRow]:
        """The rows that exist."""
        rows = await self._store.get_many(TABLE, [key.row_key for key in keys])
        return {key: _row(rows[key.row_key]) for key in keys if key.row_key in rows}

    async def save(self, rows: Sequence[tuple[SlotKey, LatchRow]], *, fence: int | None) -> list[LatchRow]:
        """Replace each row whose stored revision still is `row.revision`; returns them with their new revisions.

        Raises FencedError where a newer owner wrote a row, TransientError where another revision is there.
        """
        writes = [
            Write(
                table=TABLE,
                key=key.row_key,
                value=LAYOUT + _ENCODER.encode(row),
                expected_revision=row.revision,
                fence=fence,
            )
            for key, row in rows
        ]
        for outcome, write in zip(await self._store.write(writes), writes, strict=True):
            if outcome is Outcome.FENCED:
                raise FencedError(f"a newer logic engine wrote {TABLE} {write.key} (fence {fence} is stale)")
            if outcome is Outcome.CONFLICT:
                place = f"{TABLE} {write.key}"
                raise TransientError(f"the row is no longer at revision {write.expected_revision} ({place})")
        return [msgspec.structs.replace(row, revision=row.revision + 1) for _, row in rows]


def _row(row: Row) -> LatchRow:
    return msgspec.structs.replace(_DECODER.decode(payload(TABLE, row)), revision=row.revision)
