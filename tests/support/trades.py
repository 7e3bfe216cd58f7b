"""Trade batches for tests: rows said plainly, columns made of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shared.domain.trades import TradeBatch, TradeSource

EXCHANGE = "bybit-linear"
START_MS = 1_700_000_040_000  # on the minute grid; seconds into an hour do not matter to the tests


class Row(NamedTuple):
    """One trade. quantity in hundredths."""

    symbol: str
    trade_id: int | str
    at_ms: int
    price: float
    quantity: int
    buyer: bool = True
    tie_rank: int = 0


def a_batch(
    rows: Sequence[Row] = (),
    *,
    sequence: int = 0,
    session: str = "s1",
    started_at_ms: int = START_MS,
    covers_from_ms: int = START_MS,
    watermark_ms: int = START_MS,
    symbols: tuple[str, ...] = ("AAA", "BBB"),
    source: TradeSource = TradeSource.STREAM,
    exchange: str = EXCHANGE,
) -> TradeBatch:
    return TradeBatch(
        exchange=exchange,
        session=session,
        session_started_at_ms=started_at_ms,
        sequence=sequence,
        source=source,
        covers_from_ms=covers_from_ms,
        watermark_ms=watermark_ms,
        symbols=symbols,
        price_scales=(2,) * len(symbols),
        quantity_scales=(2,) * len(symbols),
        symbol_index=np.array([symbols.index(row.symbol) for row in rows], dtype=np.int64),
        trade_id=[row.trade_id for row in rows],
        price=np.array([row.price for row in rows], dtype=np.float64),
        quantity_units=np.array([row.quantity for row in rows], dtype=np.int64),
        traded_at_ms=np.array([row.at_ms for row in rows], dtype=np.int64),
        taker_is_buyer=np.array([row.buyer for row in rows], dtype=np.bool_),
        venue_sequence=np.zeros(len(rows), dtype=np.int64),
        tie_rank=np.array([row.tie_rank for row in rows], dtype=np.int64),
    )
