"""The fold alone: trades to candle figures, ids de-duplicated, sums exact; 20 trades a call, and a whole batch a call.

    python -m benchmarks.fold [--seconds 3]

Beside it, in the same run and on the same trades: the fold in NumPy (what runs where Numba is not installed), and the
obvious one in Python with a set of ids and Decimal sums.
"""

import argparse
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from shared.domain.fold import fold_minutes
from shared.domain.minute_trades import MinuteTrades
from shared.domain.splitting import compiled, figures_of, split_by_minute
from shared.domain.trades import TradeBatch

RESULTS = Path(__file__).parent / "results" / "fold.json"
TRADES_A_CALL = 20
CALLS = 500
START_MS = 1_700_000_040_000
PRICE_SCALE, QUANTITY_SCALE = 2, 8


def a_batch() -> TradeBatch:
    """One symbol per call, each with 20 trades of one minute, as a venue with rising ids sends them."""
    chance = np.random.default_rng(7)
    size = TRADES_A_CALL * CALLS
    number = np.arange(size) // CALLS
    return TradeBatch(
        exchange="binance-spot",
        session="bench",
        session_started_at_ms=START_MS,
        sequence=0,
        covers_from_ms=START_MS,
        watermark_ms=START_MS,
        symbols=tuple(f"S{index}USDT" for index in range(CALLS)),
        price_scales=(PRICE_SCALE,) * CALLS,
        quantity_scales=(QUANTITY_SCALE,) * CALLS,
        symbol_index=np.tile(np.arange(CALLS), TRADES_A_CALL),
        trade_id=np.arange(size),
        price=np.round(30_000 + chance.normal(0, 50, size), 2),
        quantity_units=chance.integers(1, 10**9, size),
        traded_at_ms=START_MS + number * 1_000,
        taker_is_buyer=chance.random(size) < 0.5,
        venue_sequence=np.arange(size),
        tie_rank=np.zeros(size, dtype=np.int64),
    )


def in_python(piece: MinuteTrades) -> tuple[float, float, float, float, Decimal, Decimal, int]:
    """The obvious fold of one piece."""
    trades = {}
    columns = (piece.trade_id, piece.price, piece.quantity_units, piece.traded_at_ms, piece.venue_sequence)
    for trade_id, price, units, at_ms, sequence in zip(*(column.tolist() for column in columns), strict=True):
        trades.setdefault(trade_id, (at_ms, sequence, price, units))
    rows = sorted(trades.values())
    prices = [price for _, _, price, _ in rows]
    step = Decimal(1).scaleb(-QUANTITY_SCALE)
    volume = sum((units * step for *_, units in rows), Decimal(0))
    quote = sum((Decimal(repr(price)) * units * step for _, _, price, units in rows), Decimal(0))
    return prices[0], max(prices), min(prices), prices[-1], volume, quote, len(rows)


def rate(call: Callable[[], object], trades: int, seconds: float) -> float:
    """Trades per second of repeated calls, the best of five parts."""
    call()
    best = 0.0
    for _ in range(5):
        done, begin = 0, time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds / 5:
            call()
            done += trades
        best = max(best, done / spent)
    return best


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    seconds = parser.parse_args().seconds
    batch = a_batch()
    pieces = split_by_minute(batch)
    size = len(batch)
    kernel = compiled()
    prices, counts, factor = np.empty(4), np.empty(kernel.INTEGERS, dtype=np.int64), 10.0**PRICE_SCALE
    rows = [np.ascontiguousarray(piece.rows) for piece in pieces]
    whole = np.concatenate(rows, axis=1)
    bounds, scales = np.arange(0, size + 1, TRADES_A_CALL), np.full(CALLS, PRICE_SCALE)

    def one_by_one() -> None:
        fold_run = kernel.fold_run
        for piece in rows:
            fold_run(piece, factor, True, prices, counts)

    figures = {
        "compiled, 20 trades a call": rate(one_by_one, size, seconds),
        "compiled, a batch a call, as Figures": rate(lambda: figures_of(whole, bounds, scales, kernel), size, seconds),
        "split and fold of a whole batch": rate(lambda: split_by_minute(batch), size, seconds),
        "NumPy, 20 trades a call": rate(lambda: [fold_minutes([[piece]]) for piece in pieces[:50]], 1000, seconds),
        "NumPy, a batch a call": rate(lambda: fold_minutes([[piece] for piece in pieces]), size, seconds),
        "Python, 20 trades a call": rate(lambda: [in_python(piece) for piece in pieces[:50]], 1000, seconds),
    }
    table = Table(title=f"Fold alone, {size:,} trades in pieces of {TRADES_A_CALL}")
    table.add_column("what")
    table.add_column("trades/s", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.0f}")
    Console().print(table)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


if __name__ == "__main__":
    main()
