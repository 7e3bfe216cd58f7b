"""The trades of one symbol in one minute, as one batch brought them: the unit the tape stores and the fold reads."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import BoolColumn, FloatColumn, IdColumn, IntColumn, TradeBatch, TradeSource


class MinuteTrades(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One batch's trades of one symbol in one minute; columns as in TradeBatch, never empty.

    sequences: None for one batch's trades; where several batches of a session were `joined`, each row's batch number.
    """

    exchange: str
    symbol: str
    minute_ms: int
    session: str
    session_started_at_ms: int
    sequence: int
    source: TradeSource
    price_scale: int
    quantity_scale: int
    trade_id: IdColumn
    price: FloatColumn
    quantity_units: IntColumn
    traded_at_ms: IntColumn
    taker_is_buyer: BoolColumn
    venue_sequence: IntColumn
    tie_rank: IntColumn
    sequences: IntColumn | None = None

    def __len__(self) -> int:
        return len(self.price)

    @property
    def arrival(self) -> tuple[int, str, int]:
        """Which of two trades with one id counts: the lower (session start, session, sequence)."""
        return (self.session_started_at_ms, self.session, self.sequence)

    def without(self, trade_ids: Sequence[object]) -> "MinuteTrades | None":
        """The same without the named trades; None when nothing is left."""
        keep = ~np.isin(self.trade_id, np.array(trade_ids, dtype=self.trade_id.dtype))
        if not keep.any():
            return None
        return msgspec.structs.replace(self, **{name: getattr(self, name)[keep] for name in COLUMN_NAMES})


COLUMN_NAMES = tuple(name for name, _ in TradeBatch.COLUMNS if name != "symbol_index")


def joined(pieces: Sequence[MinuteTrades]) -> list[MinuteTrades]:
    """The same trades of one symbol and minute in as few pieces as can be: one per session, source, scales and kind of id.

    A busy minute comes in hundreds of pieces; joining them as they come keeps the fold at its close short.
    """
    alike: dict[tuple[object, ...], list[MinuteTrades]] = {}
    for piece in pieces:
        kind = (piece.session, piece.source, piece.price_scale, piece.quantity_scale, piece.trade_id.dtype == object)
        alike.setdefault(kind, []).append(piece)
    return [_join(group) if len(group) > 1 else group[0] for group in alike.values()]


def _join(pieces: list[MinuteTrades]) -> MinuteTrades:
    columns = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in COLUMN_NAMES}
    return msgspec.structs.replace(pieces[0], sequences=np.concatenate([_sequences(one) for one in pieces]), **columns)


def _sequences(piece: MinuteTrades) -> IntColumn:
    return np.full(len(piece), piece.sequence, dtype=np.int64) if piece.sequences is None else piece.sequences


def apart(piece: MinuteTrades) -> list[MinuteTrades]:
    """The pieces that were joined, by sequence; a piece that was not joined as it is."""
    if piece.sequences is None:
        return [piece]
    parts = []
    for sequence in np.unique(piece.sequences).tolist():
        rows = piece.sequences == sequence
        columns = {name: getattr(piece, name)[rows] for name in COLUMN_NAMES}
        parts.append(msgspec.structs.replace(piece, sequence=sequence, sequences=None, **columns))
    return parts


def split_by_minute(batch: TradeBatch) -> list[MinuteTrades]:
    """The batch's trades, one piece per (symbol, minute); the batch's row order is kept inside a piece."""
    if not len(batch):
        return []
    minute = batch.traded_at_ms // MINUTE_MS
    group = batch.symbol_index * (int(minute.max()) + 1) + minute
    order = np.argsort(group, kind="stable")
    sorted_group = group[order]
    starts = np.flatnonzero(np.diff(sorted_group, prepend=sorted_group[0] - 1))
    columns = {name: getattr(batch, name)[order] for name in COLUMN_NAMES}
    first_rows = order[starts]
    symbols, minutes = batch.symbol_index[first_rows].tolist(), minute[first_rows].tolist()
    bounds = [*starts.tolist(), len(order)]
    return [
        _piece(batch, symbol, minutes[number] * MINUTE_MS, columns, slice(bounds[number], bounds[number + 1]))
        for number, symbol in enumerate(symbols)
    ]


def _piece(batch: TradeBatch, symbol: int, minute_ms: int, columns: dict[str, Any], rows: slice) -> MinuteTrades:
    return MinuteTrades(
        exchange=batch.exchange,
        symbol=batch.symbols[symbol],
        minute_ms=minute_ms,
        session=batch.session,
        session_started_at_ms=batch.session_started_at_ms,
        sequence=batch.sequence,
        source=batch.source,
        price_scale=batch.price_scales[symbol],
        quantity_scale=batch.quantity_scales[symbol],
        # Written out: this runs for every symbol and minute of every batch, and a dictionary costs half as much again.
        trade_id=columns["trade_id"][rows],
        price=columns["price"][rows],
        quantity_units=columns["quantity_units"][rows],
        traded_at_ms=columns["traded_at_ms"][rows],
        taker_is_buyer=columns["taker_is_buyer"][rows],
        venue_sequence=columns["venue_sequence"][rows],
        tie_rank=columns["tie_rank"][rows],
    )
