"""One-minute candles of a tape once more, slowly: plain Python over the CSV rows, no line shared with the product.

Good for tapes without late trades whose ids are consecutive per symbol: minutes are cut by trade_time, silent minutes
are flat; the tape's first and last minute are not usable, nor is any from the trade before a missing id to the one after.
"""

import csv
import gzip
import itertools
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

MINUTE = 60_000


@dataclass
class SlowCandle:
    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: Decimal
    quote_volume: Decimal
    trades: int
    usable: bool = True


def slow_candles(tape: Path) -> tuple[dict[str, list[SlowCandle]], dict[tuple[str, int], list[float]]]:
    """Candles by symbol, and the prices of every (symbol, minute) in market order."""
    rows: dict[tuple[str, int], list[tuple[int, int, str, str]]] = {}
    with gzip.open(tape, "rt") as file:
        for row in csv.DictReader(file):
            traded_at = int(row["trade_time"])
            key = (row["symbol"], traded_at - traded_at % MINUTE)
            rows.setdefault(key, []).append((traded_at, int(row["trade_id"]), row["price"], row["quantity"]))
    minutes = [minute for _, minute in rows]
    first, last = min(minutes), max(minutes)
    lost = lost_minutes(rows)
    prices = {key: [float(trade[2]) for trade in sorted(trades)] for key, trades in rows.items()}
    candles = {
        symbol: _series(symbol, rows, prices, first, last, lost[symbol])
        for symbol in sorted({symbol for symbol, _ in rows})
    }
    return candles, prices


def lost_minutes(rows) -> dict[str, set[int]]:
    """Minutes touched by a missing id, by symbol."""
    found: dict[str, set[int]] = {symbol: set() for symbol, _ in rows}
    for symbol, minutes in found.items():
        ids = sorted((trade[1], minute) for (of, minute), trades in rows.items() if of == symbol for trade in trades)
        for (before, first), (after, last) in itertools.pairwise(ids):
            if after > before + 1:
                minutes.update(range(first, last + MINUTE, MINUTE))
    return found


def _series(symbol, rows, prices, first, last, lost) -> list[SlowCandle]:
    found: list[SlowCandle] = []
    for minute in range(first, last + MINUTE, MINUTE):
        trades = rows.get((symbol, minute))
        usable = minute not in {first, last} and minute not in lost
        if trades:
            path = prices[symbol, minute]
            volume = sum((Decimal(quantity) for *_, quantity in trades), Decimal(0))
            quote = sum((Decimal(price) * Decimal(quantity) for *_, price, quantity in trades), Decimal(0))
            candle = SlowCandle(minute, path[0], max(path), min(path), path[-1], volume, quote, len(trades), usable)
            found.append(candle)
        elif found:
            close = found[-1].close
            found.append(SlowCandle(minute, close, close, close, close, Decimal(0), Decimal(0), 0, usable))
    return found
