"""How a revision lies in Bigtable: one cell per revision, and the predicates that decide a conditional write.

A cell is a layout byte, the revision and the row's fence, eight bytes each, big endian, then the value. Because the bytes
sort as (revision, fence), one value range over the newest cell asks "is this the revision, and is no newer fence there?",
and Bigtable answers it atomically with the write.

Cell timestamps are revision * 1000 us, so that the same revision is the same cell. Where rows have a time to live they
are write times instead, since Bigtable collects by them; always later than the cell before, so that the newest cell is
the newest revision even when a machine's clock is behind.
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from google.cloud.bigtable.data import mutations, row_filters
from google.cloud.bigtable_v2.types import MutateRowsRequest

from shared.domain.errors import InvalidValueError
from shared.domain.topology import Table
from shared.store.moving import MovingRow
from shared.store.port import Outcome, Row, Write

FAMILY: Final = "r"
QUALIFIER: Final = b"v"
_LAYOUT: Final = 1
_HEADER: Final = struct.Struct(">BQQ")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEP_MICROS: Final = 1000  # the finest timestamp that Bigtable takes
_TRIM_EVERY: Final = 16  # revisions; between trims the collector of Bigtable works, or nobody (emulator)

_NewEntry: Final[Any] = MutateRowsRequest.Entry.pb()

NEWEST: Final = row_filters.CellsColumnLimitFilter(1)
NEWEST_KEYS: Final = row_filters.RowFilterChain([NEWEST, row_filters.StripValueTransformerFilter(flag=True)])


class Head(NamedTuple):
    """What decides a write: the newest revision, the row's fence, the newest cell's timestamp. All 0: no such row."""

    revision: int
    fence: int
    timestamp_micros: int


ABSENT: Final = Head(0, 0, 0)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A conditional mutation. predicate None: the row must be absent."""

    predicate: row_filters.RowFilter | None
    mutations: list[mutations.Mutation]


def head_of(table: str, key: str, packed: bytes, timestamp_micros: int) -> Head:
    """The head of a row, from its newest cell. Raises InvalidValueError for a cell that is none of ours."""
    if len(packed) < _HEADER.size or packed[0] != _LAYOUT:
        layout = packed[0] if packed else None
        raise InvalidValueError(f"a cell's layout must be {_LAYOUT}, was {layout} (table {table}, row {key})")
    _, revision, fence = _HEADER.unpack_from(packed)
    return Head(revision, fence, timestamp_micros)


def row_of(table: str, key: str, packed: bytes) -> Row:
    """The row as one cell keeps it. Raises InvalidValueError for a cell that is none of ours."""
    head = head_of(table, key, packed, 0)
    return Row(key=key, value=packed[_HEADER.size :], revision=head.revision, fence=head.fence)


def verdict(write: Write, head: Head) -> Outcome:
    """What the contract says of this write to a row with this head."""
    if write.fence is not None and write.fence < head.fence:
        return Outcome.FENCED
    if write.expected_revision is not None and write.expected_revision != head.revision:
        return Outcome.CONFLICT
    return Outcome.WRITTEN


def first_guess(table: Table, write: Write, now_ms: int) -> Change | None:
    """The change for the row as the writer believes it to be, made without reading it; None where it must be read.

    A fenced writer that names a revision need not know the row's fence: any up to its own will do, and its own is kept.
    """
    expected = write.expected_revision or 0
    if expected == 0:
        return change(table, write, ABSENT, now_ms)
    if write.fence is None or expected < 0:
        return None
    predicate: list[row_filters.RowFilter] = [NEWEST, _heads(expected, 0, write.fence)]
    if table.ttl_hours is not None:
        predicate.append(_older_than(now_ms))
    made = _mutations(table, write, Head(expected, write.fence, 0), now_ms)
    return Change(predicate=row_filters.RowFilterChain(predicate), mutations=made)


def change(table: Table, write: Write, head: Head, now_ms: int) -> Change:
    """The change that goes through while the row still has this head."""
    made = _mutations(table, write, head, now_ms)
    if not head.revision:
        return Change(predicate=None, mutations=made)
    unchanged = [NEWEST, _heads(head.revision, head.fence, head.fence)]
    return Change(predicate=row_filters.RowFilterChain(unchanged), mutations=made)


class Entry(mutations.RowMutationEntry):
    """One row of a bulk request, as the message that is sent.

    The client wraps each part of each row in an object of its own first, which is half of what a row of the tape costs.
    """

    def _to_pb(self) -> Any:
        return _NewEntry(row_key=self.row_key, mutations=[mutation._to_dict() for mutation in self.mutations])  # noqa: SLF001 - what the client makes of it, too


def blind_entry(table: Table, write: Write, now_ms: int) -> Entry:
    """The mutation of a row of a write-once table, whatever is there."""
    return Entry(write.key, _mutations(table, write, ABSENT, now_ms))


def fill_entry(write: Write) -> Entry:
    """The mutation that makes a first revision where there is none: an older cell than any that a conditional write makes."""
    packed = _HEADER.pack(_LAYOUT, 1, write.fence or 0) + write.value
    return Entry(write.key, [mutations.SetCell(FAMILY, QUALIFIER, packed, 0)])


def adopted_entry(table: Table, row: MovingRow) -> Entry:
    """The mutation that makes the row exactly so, whatever was there."""
    made: list[mutations.Mutation] = [mutations.DeleteAllFromRow()]
    timestamp_micros = 0
    for kept in row.kept:
        packed = _HEADER.pack(_LAYOUT, kept.revision, kept.fence) + kept.value
        wanted_micros = (kept.revision if table.ttl_hours is None else kept.written_at_ms) * _STEP_MICROS
        timestamp_micros = max(wanted_micros, timestamp_micros + _STEP_MICROS)
        made.append(mutations.SetCell(FAMILY, QUALIFIER, packed, timestamp_micros))
    return Entry(row.key, made)


def expiry_entry(key: bytes, before_ms: int) -> Entry:
    """Removes what was written before; a cell written meanwhile stays."""
    old = mutations.DeleteRangeFromColumn(FAMILY, QUALIFIER, end_timestamp_micros=before_ms * _STEP_MICROS)
    return Entry(key, [old])


def written_before(before_ms: int) -> row_filters.RowFilter:
    """Rows whose newest cell is older, without their values. Only for tables with a time to live."""
    strip = row_filters.StripValueTransformerFilter(flag=True)
    return row_filters.RowFilterChain([NEWEST, _older_than(before_ms), strip])


def _mutations(table: Table, write: Write, head: Head, now_ms: int) -> list[mutations.Mutation]:
    revision, fence = head.revision + 1, max(head.fence, write.fence or 0)
    packed = _HEADER.pack(_LAYOUT, revision, fence) + write.value
    if table.ttl_hours is None:
        timestamp_micros = revision * _STEP_MICROS
    else:
        timestamp_micros = max(now_ms * _STEP_MICROS, head.timestamp_micros + _STEP_MICROS)
    made: list[mutations.Mutation] = [mutations.SetCell(FAMILY, QUALIFIER, packed, timestamp_micros)]
    oldest_kept_micros = None
    if revision % _TRIM_EVERY == 0 and table.ttl_hours is None:
        oldest_kept_micros = timestamp_micros - (table.max_versions - 1) * _STEP_MICROS
    elif revision % _TRIM_EVERY == 0 and table.max_versions == 1:
        oldest_kept_micros = timestamp_micros
    if oldest_kept_micros is not None and oldest_kept_micros > 0:
        made.append(mutations.DeleteRangeFromColumn(FAMILY, QUALIFIER, end_timestamp_micros=oldest_kept_micros))
    return made


def _heads(revision: int, fence_min: int, fence_max: int) -> row_filters.RowFilter:
    """Cells of this revision whose fence lies between."""
    return row_filters.ValueRangeFilter(
        start_value=_HEADER.pack(_LAYOUT, revision, fence_min),
        end_value=_HEADER.pack(_LAYOUT, revision, fence_max + 1),
        inclusive_start=True,
        inclusive_end=False,
    )


def _older_than(before_ms: int) -> row_filters.RowFilter:
    return row_filters.TimestampRangeFilter(end=_EPOCH + timedelta(milliseconds=before_ms))
