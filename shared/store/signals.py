"""Signals on the store: who holds each slot, and the latest snapshot of every signal. Both change by compare-and-set."""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.errors import FencedError, TransientError
from shared.domain.slots import SignalRecord, Slot, SlotKey
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write, key_of

SLOT_TABLE: Final = "open-signals"
SIGNAL_TABLE: Final = "signals"
_ENCODER: Final = msgspec.msgpack.Encoder()


_SLOTS: Final = msgspec.msgpack.Decoder(Slot)
_RECORDS: Final = msgspec.msgpack.Decoder(SignalRecord)


class SlotStore:
    """Reads and writes slots."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_many(self, keys: Sequence[SlotKey]) -> dict[SlotKey, Slot]:
        """The slots that exist."""
        rows = await self._store.get_many(SLOT_TABLE, [key.row_key for key in keys])
        return {key: _slot(rows[key.row_key]) for key in keys if key.row_key in rows}

    async def all(self) -> dict[SlotKey, Slot]:
        """Every slot, by key."""
        rows = await self._store.scan(SLOT_TABLE, "", "\U0010ffff")
        return {SlotKey(*row.key.split("#")): _slot(row) for row in rows}

    async def save(self, slots: Sequence[tuple[SlotKey, Slot]], *, fence: int | None) -> list[Slot]:
        """Replace each slot whose stored revision still is `slot.revision`; returns them with their new revisions.

        Raises FencedError where a newer owner wrote a row, TransientError where another revision is there.
        """
        writes = [
            Write(
                table=SLOT_TABLE,
                key=key.row_key,
                value=LAYOUT + _ENCODER.encode(slot),
                expected_revision=slot.revision,
                fence=fence,
            )
            for key, slot in slots
        ]
        _check(await self._store.write(writes), writes, fence)
        return [_at_revision(slot, slot.revision + 1) for _, slot in slots]


class SignalStore:
    """Reads and writes signals by their id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, signal_id: str) -> SignalRecord | None:
        """The signal's latest snapshot; None where it has no row."""
        row = await self._store.get(SIGNAL_TABLE, key_of(signal_id))
        return _record(row) if row else None

    async def get_many(self, signal_ids: Sequence[str]) -> dict[str, SignalRecord]:
        """Those that exist, by id."""
        rows = await self._store.get_many(SIGNAL_TABLE, list(signal_ids))
        return {signal_id: _record(row) for signal_id, row in rows.items()}

    async def all(self) -> list[SignalRecord]:
        """Every signal, ordered by opening time and id (for reports, not for the hot path)."""
        records = [_record(row) for row in await self._store.scan(SIGNAL_TABLE, "", "\U0010ffff")]
        return sorted(records, key=lambda record: (record.signal.opened_at_ms, record.signal.signal_id))

    async def save(self, records: Sequence[SignalRecord], *, fence: int | None) -> list[SignalRecord]:
        """Replace each row whose stored revision still is `record.revision`; returns them with their new revisions.

        Raises FencedError where a newer owner wrote a row, TransientError where another revision is there.
        """
        writes = [
            Write(
                table=SIGNAL_TABLE,
                key=key_of(record.signal.signal_id),
                value=LAYOUT + _ENCODER.encode(record),
                expected_revision=record.revision,
                fence=fence,
            )
            for record in records
        ]
        _check(await self._store.write(writes), writes, fence)
        return [msgspec.structs.replace(record, revision=record.revision + 1) for record in records]


def _check(outcomes: Sequence[Outcome], writes: Sequence[Write], fence: int | None) -> None:
    if outcomes.count(Outcome.WRITTEN) == len(writes):
        return
    for outcome, write in zip(outcomes, writes, strict=True):
        if outcome is Outcome.FENCED:
            raise FencedError(f"a newer logic engine wrote {write.table} {write.key} (fence {fence} is stale)")
        if outcome is Outcome.CONFLICT:
            place = f"{write.table} {write.key}"
            raise TransientError(f"the row is no longer at revision {write.expected_revision} ({place})")


def _slot(row: Row) -> Slot:
    return _at_revision(_SLOTS.decode(payload(SLOT_TABLE, row)), row.revision)


def _at_revision(slot: Slot, revision: int) -> Slot:
    """A slot without checks of its own: writing its fields out is four times faster than `replace`."""
    return Slot(
        signal_id=slot.signal_id,
        last_signal_id=slot.last_signal_id,
        chain_hash=slot.chain_hash,
        handled_through_ms=slot.handled_through_ms,
        revision=revision,
    )


def _record(row: Row) -> SignalRecord:
    return msgspec.structs.replace(_RECORDS.decode(payload(SIGNAL_TABLE, row)), revision=row.revision)
