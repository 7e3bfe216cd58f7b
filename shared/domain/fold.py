"""Trades to one-minute figures: a fold over the *set* of trades, whatever their batches, order and repetitions.

A trade counts once per id; of two with one id the earlier (session start, session, sequence) counts. Trades are ordered
by (traded_at_ms, venue_sequence, tie_rank), then by arrival. Sums are exact.
Many minutes are folded in one call, column by column.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.decimals import decimal_of_units
from shared.domain.minute_trades import BUYER, ID, PRICE, QUANTITY, SEQUENCE, TIE, TIME, Figures, MinuteTrades
from shared.domain.trades import IntColumn

_LIMB_BITS: Final = 24
_LIMB_MASK: Final = (1 << _LIMB_BITS) - 1
_SEQUENCE_BITS: Final = 44  # batches of a session: enough for a million years of quarter seconds
_INT64_END: Final = 1 << 63
_ROWS_MAX: Final = 1 << (63 - 2 * _LIMB_BITS)  # so many limb products add up inside an int64


class FoldedMinute(msgspec.Struct, frozen=True, kw_only=True):
    """What the trades of one symbol and minute amount to. conflicts: ids that came again with other content.

    first_trade_id, last_trade_id: the lowest and the highest where ids are integers, else those of the first and last
    trade; None where the figures that were added up do not tell (text ids).
    """

    open: float
    high: float
    low: float
    close: float
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    conflicts: tuple[str, ...] = ()
    first_trade_id: int | str | None = None
    last_trade_id: int | str | None = None

    @property
    def ids_are_consecutive(self) -> bool:
        """Whether integer ids are a run without a hole."""
        first, last = self.first_trade_id, self.last_trade_id
        return isinstance(first, int) and isinstance(last, int) and last - first + 1 == self.trade_count


class _Rows(NamedTuple):
    """All rows of all groups; every array has one entry per trade."""

    group: IntColumn
    arrival: IntColumn
    columns: dict[str, npt.NDArray[Any]]

    def take(self, index: Any) -> "_Rows":
        return _Rows(self.group[index], self.arrival[index], {k: v[index] for k, v in self.columns.items()})


def folded_of(figures: Figures, price_scale: int, quantity_scale: int) -> FoldedMinute:
    """The minute whose trades amount to these figures."""
    return FoldedMinute(
        open=figures.open,
        high=figures.high,
        low=figures.low,
        close=figures.close,
        volume=decimal_of_units(figures.volume_units, quantity_scale),
        quote_volume=decimal_of_units(figures.quote_units, price_scale + quantity_scale),
        trade_count=figures.trade_count,
        first_trade_id=figures.id_low if figures.id_low <= figures.id_high else None,
        last_trade_id=figures.id_high if figures.id_low <= figures.id_high else None,
    )


def fold_minutes(groups: Sequence[Sequence[MinuteTrades]]) -> list[FoldedMinute]:
    """Fold each group of pieces (one symbol and minute, never empty); result i belongs to group i."""
    if not groups:
        return []
    scales = [_scales(group) for group in groups]
    rows, conflicts = _unique_trades(_gather(groups, scales))
    rows = _in_market_order(rows)
    starts = np.searchsorted(rows.group, np.arange(len(groups)))
    ends = np.append(starts[1:], len(rows.group))
    price, quantity = rows.columns["price"], rows.columns["quantity_units"]
    price_scale = np.array([scale[0] for scale in scales], dtype=np.float64)
    price_units = np.rint(price * (10.0**price_scale)[rows.group]).astype(np.int64)
    volume = _sums(quantity, starts)
    quote = _exact_sums(quantity, price_units, starts)
    figures = zip(
        price[starts].tolist(),
        np.maximum.reduceat(price, starts).tolist(),
        np.minimum.reduceat(price, starts).tolist(),
        price[ends - 1].tolist(),
        (ends - starts).tolist(),
        *_edge_ids(rows.columns["trade_id"], starts, ends),
        strict=True,
    )
    return [
        FoldedMinute(
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=decimal_of_units(volume[number], scales[number][1]),
            quote_volume=decimal_of_units(quote[number], scales[number][0] + scales[number][1]),
            trade_count=count,
            conflicts=conflicts.get(number, ()),
            first_trade_id=first_id,
            last_trade_id=last_id,
        )
        for number, (open_, high, low, close, count, first_id, last_id) in enumerate(figures)
    ]


def _edge_ids(ids: npt.NDArray[Any], starts: IntColumn, ends: IntColumn) -> tuple[list[Any], list[Any]]:
    if ids.dtype == object:
        return ids[starts].tolist(), ids[ends - 1].tolist()
    return np.minimum.reduceat(ids, starts).tolist(), np.maximum.reduceat(ids, starts).tolist()


def edge_texts(pieces: Sequence[MinuteTrades], figures: Figures) -> tuple[str | None, str | None]:
    """The text ids of the trades that open and close, found by their places in the market's order."""
    found: list[str | None] = [None, None]
    for piece in pieces:
        if piece.texts is None:
            continue
        for number, (time_ms, sequence, tie) in enumerate((figures.first, figures.last)):
            if found[number] is None:
                at = np.flatnonzero(
                    (piece.rows[TIME] == time_ms) & (piece.rows[SEQUENCE] == sequence) & (piece.rows[TIE] == tie)
                )
                found[number] = str(piece.texts[at[0]]) if len(at) else None
    return found[0], found[1]


def ordered_trades(pieces: Sequence[MinuteTrades]) -> dict[str, npt.NDArray[Any]]:
    """The distinct trades of one symbol and minute in market order, as columns (quantities in the finest scale)."""
    rows, _ = _unique_trades(_gather([pieces], [_scales(pieces)]))
    return _in_market_order(rows).columns


def _scales(group: Sequence[MinuteTrades]) -> tuple[int, int]:
    """The finest (price, quantity) scale among the pieces: an instrument's step may change between sessions."""
    scales = {(piece.price_scale, piece.quantity_scale) for piece in group}
    if len(scales) == 1:
        return next(iter(scales))
    return max(price for price, _ in scales), max(quantity for _, quantity in scales)


def _gather(groups: Sequence[Sequence[MinuteTrades]], scales: list[tuple[int, int]]) -> _Rows:
    # A minute of many symbols comes in thousands of pieces: each is touched as few times as can be.
    pieces = list(chain.from_iterable(groups))
    rows = np.concatenate([piece.rows for piece in pieces], axis=1)
    lengths = [len(piece) for piece in pieces]
    sizes = [len(group) for group in groups]
    columns: dict[str, npt.NDArray[Any]] = {
        "trade_id": _ids(pieces, rows),
        "price": rows[PRICE].view(np.float64),
        "quantity_units": rows[QUANTITY],
        "traded_at_ms": rows[TIME],
        "taker_is_buyer": rows[BUYER],
        "venue_sequence": rows[SEQUENCE],
        "tie_rank": rows[TIE],
    }
    quantity_scale = np.array([piece.quantity_scale for piece in pieces])
    steps = np.repeat(np.array([scale[1] for scale in scales]), sizes) - quantity_scale
    if steps.any():
        factors = np.array([10**step for step in steps.tolist()], dtype=object)
        units = columns["quantity_units"].astype(object) * np.repeat(factors, lengths)
        columns["quantity_units"] = units.astype(np.int64)  # raises OverflowError rather than wrap
    arrival = _arrivals(pieces, lengths)
    group = np.repeat(np.repeat(np.arange(len(groups)), sizes), lengths)
    return _Rows(group, arrival, columns)


def _arrivals(pieces: Sequence[MinuteTrades], lengths: list[int]) -> IntColumn:
    """Every row's (session start, session, sequence) as one number in the same order."""
    sessions = [(piece.session_started_at_ms, piece.session) for piece in pieces]
    ranks = {session: rank for rank, session in enumerate(sorted(set(sessions)))}
    sequence = np.repeat(np.array([piece.sequence for piece in pieces]), lengths)
    if any(piece.sequences is not None for piece in pieces):
        per_piece = zip(pieces, lengths, strict=True)
        rows = [np.full(n, one.sequence) if one.sequences is None else one.sequences for one, n in per_piece]
        sequence = np.concatenate(rows)
    session: IntColumn = np.repeat(np.array([ranks[session] for session in sessions]), lengths)
    arrivals: IntColumn = (session << _SEQUENCE_BITS) | sequence
    return arrivals


def _ids(pieces: Sequence[MinuteTrades], rows: IntColumn) -> npt.NDArray[Any]:
    """Numbers and texts do not compare: where some pieces have texts, all are compared as texts."""
    if all(piece.texts is None for piece in pieces):
        numbers: IntColumn = rows[ID]
        return numbers
    texts = np.empty(rows.shape[1], dtype=object)
    texts[:] = [str(value) for piece in pieces for value in piece.trade_id.tolist()]
    return texts


def _unique_trades(rows: _Rows) -> tuple[_Rows, dict[int, tuple[str, ...]]]:
    """Drop repeated ids, keeping the earliest arrival; name the ids that came again with other content."""
    ids = rows.columns["trade_id"]
    if _all_distinct(rows.group, ids):
        return rows, {}
    codes = np.unique(ids, return_inverse=True)[1] if ids.dtype == object else ids
    order = np.lexsort((rows.arrival, codes, rows.group))
    group, code = rows.group[order], codes[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (group[1:] != group[:-1]) | (code[1:] != code[:-1])
    winner = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
    differs = np.zeros(len(order), dtype=bool)
    for name in ("price", "quantity_units", "traded_at_ms", "taker_is_buyer"):
        column = rows.columns[name]
        differs |= column[order] != column[winner]
    found: dict[int, set[str]] = {}
    for row in order[differs].tolist():
        found.setdefault(int(rows.group[row]), set()).add(str(ids[row]))
    return rows.take(np.sort(order[first])), {number: tuple(sorted(names)) for number, names in found.items()}


def _all_distinct(group: IntColumn, ids: npt.NDArray[Any]) -> bool:
    if ids.dtype == object:
        return len(set(ids.tolist())) == len(ids)
    # Numbered venues deliver ids in rising order: one pass shows that nothing repeats.
    return bool(np.all((ids[1:] > ids[:-1]) | (group[1:] != group[:-1])))


def _in_market_order(rows: _Rows) -> _Rows:
    if _is_in_market_order(rows):
        return rows
    # Arrival decides only where two sessions gave different trades the same rank; any fixed order will do then.
    keys = (
        rows.arrival,
        rows.columns["tie_rank"],
        rows.columns["venue_sequence"],
        rows.columns["traded_at_ms"],
        rows.group,
    )
    return rows.take(np.lexsort(keys))


def _is_in_market_order(rows: _Rows) -> bool:
    """Whether nothing needs sorting, as is usual for one session of a numbered venue: one pass instead of a sort."""
    group, time_ms, sequence = rows.group, rows.columns["traded_at_ms"], rows.columns["venue_sequence"]
    later = (time_ms[1:] > time_ms[:-1]) | ((time_ms[1:] == time_ms[:-1]) & (sequence[1:] > sequence[:-1]))
    return bool(((group[1:] > group[:-1]) | ((group[1:] == group[:-1]) & later)).all())


def _sums(values: IntColumn, starts: IntColumn) -> list[int]:
    """Sum of values (all >= 0) per run of rows, exact at any size."""
    if int(values.max()) * len(values) < _INT64_END:
        return np.add.reduceat(values, starts).tolist()  # type: ignore[no-any-return]  # integers, by the column's type
    return _exact_sums(values, np.ones_like(values), starts)


def _exact_sums(left: IntColumn, right: IntColumn, starts: IntColumn) -> list[int]:
    """Sum of left x right (both >= 0) per run of rows, exact at any size: limb products added in int64, joined in int."""
    if int(np.diff(starts, append=len(left)).max()) >= _ROWS_MAX:
        products = left.astype(object) * right.astype(object)
        return [int(total) for total in np.add.reduceat(products, starts)]
    totals = [0] * len(starts)
    for i, low in _limbs(left):
        for j, high in _limbs(right):
            shift = (i + j) * _LIMB_BITS
            for number, part in enumerate(np.add.reduceat(low * high, starts).tolist()):
                totals[number] += part << shift
    return totals


def _limbs(values: IntColumn) -> list[tuple[int, IntColumn]]:
    count = max(1, -(-int(values.max()).bit_length() // _LIMB_BITS))
    return [(number, (values >> (number * _LIMB_BITS)) & _LIMB_MASK) for number in range(count)]
