"""The trades of one symbol in one minute, as one batch brought them: the unit the tape stores and the fold reads."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from shared.domain.trades import BoolColumn, FloatColumn, IdColumn, IntColumn, TradeBatch, TradeSource

Rows = npt.NDArray[np.int64]
# The rows of `MinuteTrades.rows`; a price is kept as the bits of its float64.
ID, PRICE, QUANTITY, TIME, BUYER, SEQUENCE, TIE = range(7)
ROW_COUNT: Final = 7
COLUMN_NAMES: Final = tuple(name for name, _ in TradeBatch.COLUMNS if name != "symbol_index")


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What distinct trades of one minute amount to, in a form that two sets of them can be added up in (see `merged`).

    first, last:  (traded_at_ms, venue_sequence, tie_rank) of the trades that open and close; no two trades have the same.
    volume_units: in steps of the pieces' quantity scale; quote_units: in steps of price scale + quantity scale.
    id_low, id_high: range of the ids where they are integers; 0, -1 where they are texts.
    """

    open: float
    high: float
    low: float
    close: float
    trade_count: int
    volume_units: int
    quote_units: int
    first: tuple[int, int, int]
    last: tuple[int, int, int]
    id_low: int
    id_high: int


class MinuteTrades(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One batch's trades of one symbol in one minute; never empty.

    rows:      int64 of shape (7, n): id, bits of the price, quantity, time, buyer, venue sequence, tie rank; column i is one
               trade. The properties show them as the columns of TradeBatch.
    texts:     the ids where they are texts (their row is 0 then), else None.
    sequences: None for one batch's trades; where several batches of a session were `joined`, each trade's batch number.
    figures:   what the trades amount to, where that was found while they were split and no id repeats; else None.
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
    rows: Rows
    texts: IdColumn | None = None
    sequences: IntColumn | None = None
    figures: Figures | None = None

    @classmethod
    def of_columns(cls, columns: dict[str, Any], **header: Any) -> Self:
        """From columns as in TradeBatch, all of one length."""
        texts = columns["trade_id"] if columns["trade_id"].dtype == object else None
        return cls(rows=rows_of_columns(columns), texts=texts, **header)

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    @property
    def trade_id(self) -> IdColumn:
        """int64 where every id is an integer, else str objects."""
        return self.rows[ID] if self.texts is None else self.texts

    @property
    def price(self) -> FloatColumn:
        """Quote currency per unit of base."""
        column: FloatColumn = self.rows[PRICE].view(np.float64)
        return column

    @property
    def quantity_units(self) -> IntColumn:
        """Base currency in steps of 10^-quantity_scale."""
        column: IntColumn = self.rows[QUANTITY]
        return column

    @property
    def traded_at_ms(self) -> IntColumn:
        """Exchange clock."""
        column: IntColumn = self.rows[TIME]
        return column

    @property
    def taker_is_buyer(self) -> BoolColumn:
        """The aggressor's side."""
        column: BoolColumn = self.rows[BUYER] != 0
        return column

    @property
    def venue_sequence(self) -> IntColumn:
        """The venue's own order."""
        column: IntColumn = self.rows[SEQUENCE]
        return column

    @property
    def tie_rank(self) -> IntColumn:
        """Place among trades with equal time and venue sequence."""
        column: IntColumn = self.rows[TIE]
        return column

    @property
    def arrival(self) -> tuple[int, str, int]:
        """Which of two trades with one id counts: the lower (session start, session, sequence)."""
        return (self.session_started_at_ms, self.session, self.sequence)

    def picked(self, columns: Any) -> Self:
        """The same with some of the trades: a slice, mask or index of them."""
        return msgspec.structs.replace(
            self,
            rows=self.rows[:, columns],
            texts=None if self.texts is None else self.texts[columns],
            sequences=None if self.sequences is None else self.sequences[columns],
            figures=None,
        )

    def without(self, trade_ids: Sequence[object]) -> Self | None:
        """The same without the named trades; None when nothing is left."""
        keep = ~np.isin(self.trade_id, np.array(trade_ids, dtype=self.trade_id.dtype))
        return self.picked(keep) if keep.any() else None


def rows_of_columns(columns: dict[str, Any]) -> Rows:
    """Columns as in TradeBatch, trade_id to tie_rank, as the rows of a MinuteTrades; text ids become 0."""
    rows: Rows = np.empty((ROW_COUNT, len(columns["price"])), dtype=np.int64)
    rows[ID] = 0 if columns["trade_id"].dtype == object else columns["trade_id"]
    rows[PRICE] = np.asarray(columns["price"], dtype=np.float64).view(np.int64)
    rows[QUANTITY] = columns["quantity_units"]
    rows[TIME] = columns["traded_at_ms"]
    rows[BUYER] = columns["taker_is_buyer"]
    rows[SEQUENCE] = columns["venue_sequence"]
    rows[TIE] = columns["tie_rank"]
    return rows


def merged(one: Figures, other: Figures) -> Figures | None:
    """The figures of both sets of trades together; None where an id or a place in the market's order may stand in both.

    Integer ids are compared by their ranges. Text ids the caller compares.
    """
    if one.id_low <= other.id_high and other.id_low <= one.id_high:
        return None
    if not {one.first, one.last}.isdisjoint((other.first, other.last)):
        return None
    return Figures(
        one.open if one.first < other.first else other.open,
        max(one.high, other.high),
        min(one.low, other.low),
        one.close if one.last > other.last else other.close,
        one.trade_count + other.trade_count,
        one.volume_units + other.volume_units,
        one.quote_units + other.quote_units,
        min(one.first, other.first),
        max(one.last, other.last),
        min(one.id_low, other.id_low),
        max(one.id_high, other.id_high),
    )


def joined(pieces: Sequence[MinuteTrades]) -> list[MinuteTrades]:
    """The same trades of one symbol and minute in as few pieces as can be: one per session, source, scales and kind of id.

    A busy minute comes in hundreds of pieces; joining them as they come keeps the fold at its close short.
    """
    alike: dict[tuple[object, ...], list[MinuteTrades]] = {}
    for piece in pieces:
        kind = (piece.session, piece.source, piece.price_scale, piece.quantity_scale, piece.texts is None)
        alike.setdefault(kind, []).append(piece)
    return [_join(group) if len(group) > 1 else group[0] for group in alike.values()]


def _join(pieces: list[MinuteTrades]) -> MinuteTrades:
    return msgspec.structs.replace(
        pieces[0],
        rows=np.concatenate([piece.rows for piece in pieces], axis=1),
        texts=None if pieces[0].texts is None else np.concatenate(list(_texts_of(pieces))),
        sequences=np.concatenate([_sequences(piece) for piece in pieces]),
        figures=None,
    )


def _texts_of(pieces: Iterable[MinuteTrades]) -> Iterable[IdColumn]:
    return (piece.texts for piece in pieces if piece.texts is not None)


def _sequences(piece: MinuteTrades) -> IntColumn:
    return np.full(len(piece), piece.sequence, dtype=np.int64) if piece.sequences is None else piece.sequences


def apart(piece: MinuteTrades) -> list[MinuteTrades]:
    """The pieces that were joined, by sequence; a piece that was not joined as it is."""
    if piece.sequences is None:
        return [piece]
    parts = []
    for sequence in np.unique(piece.sequences).tolist():
        part = piece.picked(piece.sequences == sequence)
        parts.append(msgspec.structs.replace(part, sequence=sequence, sequences=None))
    return parts
