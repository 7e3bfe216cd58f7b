"""A batch's trades by symbol and minute, with what each minute's trades amount to: one pass over the columns.

Where Numba is installed the pass is compiled, and finds the figures of every piece on the way. Elsewhere NumPy splits, and
the minute is folded when it closes. The candles are the same.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

import numpy as np

from shared.domain.minute_trades import (
    COLUMN_NAMES,
    PRICE,
    QUANTITY,
    TIME,
    Figures,
    MinuteTrades,
    Rows,
    rows_of_columns,
)
from shared.domain.timeframe import MINUTE_MS
from shared.domain.trades import IdColumn, IntColumn, TradeBatch

_CELLS_MAX: Final = 1 << 20  # symbols x minutes of one batch; beyond it sorting is cheaper than counting
_WORD: Final = (1 << 64) - 1


class _Split(NamedTuple):
    """Trades sorted by symbol and minute. places: (symbol, minute number) of each piece; bounds: where each begins."""

    rows: Rows
    order: IntColumn
    symbols: list[int]
    minutes: list[int]
    bounds: list[int]
    figures: Sequence[Figures | None]


@cache
def compiled() -> Any:
    """The module of the compiled pass; None where Numba is not installed."""
    if find_spec("numba") is None:
        return None
    from shared.domain import splitting_kernel

    return splitting_kernel


def warm_up() -> list[str]:
    """Have the compiled pass ready, from the cache or made now; the names of its kernels, none without Numba."""
    return [] if compiled() is None else ["sorted_by_minute", "taken", "fold_run", "fold_runs"]


def split_by_minute(batch: TradeBatch) -> list[MinuteTrades]:
    """The batch's trades, one piece per (symbol, minute), by symbol and minute; the batch's order is kept inside a piece."""
    if not len(batch):
        return []
    texts = batch.trade_id if batch.trade_id.dtype == object else None
    kernel = compiled()
    split = _split_compiled(batch, kernel, texts) if kernel is not None else None
    if split is None:
        split = _split_plain(batch)
    sorted_texts = None if texts is None else texts[split.order]
    header = (batch.exchange, batch.session, batch.session_started_at_ms, batch.sequence, batch.source)
    exchange, session, started_at_ms, sequence, source = header
    pieces = []
    for number, symbol in enumerate(split.symbols):
        start, end = split.bounds[number], split.bounds[number + 1]
        pieces.append(
            MinuteTrades(
                exchange=exchange,
                symbol=batch.symbols[symbol],
                minute_ms=split.minutes[number] * MINUTE_MS,
                session=session,
                session_started_at_ms=started_at_ms,
                sequence=sequence,
                source=source,
                price_scale=batch.price_scales[symbol],
                quantity_scale=batch.quantity_scales[symbol],
                rows=split.rows[:, start:end],
                texts=None if sorted_texts is None else sorted_texts[start:end],
                figures=split.figures[number],
            )
        )
    return pieces


def _split_plain(batch: TradeBatch) -> _Split:
    """By sorting; finds no figures."""
    minute = batch.traded_at_ms // MINUTE_MS
    group = batch.symbol_index * (int(minute.max()) + 1) + minute
    order = np.argsort(group, kind="stable")
    sorted_group = group[order]
    starts = np.flatnonzero(np.diff(sorted_group, prepend=sorted_group[0] - 1))
    first_rows = order[starts]
    rows = rows_of_columns({name: getattr(batch, name)[order] for name in COLUMN_NAMES})
    symbols, minutes = batch.symbol_index[first_rows].tolist(), minute[first_rows].tolist()
    return _Split(rows, order, symbols, minutes, [*starts.tolist(), len(order)], [None] * len(symbols))


def _split_compiled(batch: TradeBatch, kernel: Any, texts: IdColumn | None) -> _Split | None:
    """By counting, with figures; None where the batch spans more minutes than are worth a table."""
    first = int(batch.traded_at_ms.min()) // MINUTE_MS
    span = int(batch.traded_at_ms.max()) // MINUTE_MS - first + 1
    if span * len(batch.symbols) > _CELLS_MAX:
        return None
    rows = rows_of_columns({name: getattr(batch, name) for name in COLUMN_NAMES})
    order, cells, bounds = kernel.sorted_by_minute(batch.symbol_index, rows[TIME], first, span, len(batch.symbols))
    symbol = cells // span
    rows = kernel.taken(rows, order)
    scales = np.asarray(batch.price_scales, dtype=np.int64)[symbol]
    # A text that stands twice in the batch may stand twice in a piece; numbers the kernel compares itself.
    distinct = texts is None or len(set(texts.tolist())) == len(texts)
    figures = figures_of(rows, bounds, scales, kernel, numbered=texts is None) if distinct else [None] * len(symbol)
    minutes = (cells - symbol * span + first).tolist()
    return _Split(rows, order, symbol.tolist(), minutes, bounds.tolist(), figures)


def figures_of(
    rows: Rows, bounds: IntColumn, price_scales: IntColumn, kernel: Any, *, numbered: bool = True
) -> list[Figures | None]:
    """The figures of each run rows[:, bounds[i]:bounds[i + 1]] in one compiled call; None where they must be folded.

    price_scales: one per run. Where the ids are not numbers, the caller knows them to be distinct.
    """
    prices = np.empty((len(bounds) - 1, 4))
    counts = np.empty((len(bounds) - 1, kernel.INTEGERS), dtype=np.int64)
    kernel.fold_runs(rows, bounds, price_scales, numbered, prices, counts)
    return [
        Figures(
            four[0],
            four[1],
            four[2],
            four[3],
            one[0],
            one[1],
            (one[2] << 64) | (one[3] & _WORD),
            (one[4], one[5], one[6]),
            (one[7], one[8], one[9]),
            one[10],
            one[11],
        )
        if one[0]
        else None
        for four, one in zip(prices.tolist(), counts.tolist(), strict=True)
    ]


assert (PRICE, QUANTITY, TIME) == (1, 2, 3)  # noqa: S101 - the kernel names the rows by number
