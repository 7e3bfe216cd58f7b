"""A small market from a seed: numbered trades of three symbols, the klines before them, and a fall that makes a signal."""

import random
from bisect import bisect_left
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from shared.domain.timeframe import MINUTE_MS, Timeframe

START_MS = 1_700_000_100_000 // 900_000 * 900_000
HISTORY_MINUTES = 150  # more than a window
TRADES_FROM_MINUTES = 5  # of history that the venue still shows as trades
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
_MEAN_GAP_MS = {"AAAUSDT": 6_000, "BBBUSDT": 12_000, "CCCUSDT": 35_000}


class MadeTrade(NamedTuple):
    """One trade as the venue has it; price in hundredths, quantity in thousandths."""

    at_ms: int
    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool


class Bar(NamedTuple):
    """One minute under the venue's rule: it opens at its first trade, an empty one repeats the close before."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int
    count: int


class Market:
    """Everything that happens, by symbol; asked by times."""

    def __init__(self, seed: int, minutes: int) -> None:
        self.seed = seed
        self.begin_ms = START_MS - HISTORY_MINUTES * MINUTE_MS
        self.end_ms = START_MS + minutes * MINUTE_MS
        self.trades: dict[str, list[MadeTrade]] = {}
        self._bars: dict[str, dict[int, Bar]] = {}
        self._klines: dict[tuple[str, Timeframe, int, bool], list[object] | None] = {}
        for number, symbol in enumerate(SYMBOLS):
            self._make(symbol, random.Random(f"{seed}-{symbol}"), falls=number == seed % 2)

    def _make(self, symbol: str, chance: random.Random, *, falls: bool) -> None:
        bars: dict[int, Bar] = {}
        price = chance.randint(9_000, 11_000)
        for minute in range(-HISTORY_MINUTES, -TRADES_FROM_MINUTES):
            opened = price
            # The last hour sags, so that a sharp fall finds the RSI half way down.
            price = max(500, price + chance.choice([-12, -6, -3, 3, 6]))
            bars[START_MS + minute * MINUTE_MS] = _bar([(opened, 900), (price, 1_000 + chance.randint(0, 200))])
        trades: list[MadeTrade] = []
        begin_ms = START_MS - TRADES_FROM_MINUTES * MINUTE_MS
        at_ms, trade_id, fall_ms = begin_ms + 350, chance.randint(1_000, 900_000), START_MS + 2 * MINUTE_MS
        while at_ms < self.end_ms:
            falling = falls and fall_ms <= at_ms < fall_ms + MINUTE_MS
            step = chance.choice([-9, -8, -7, -6] if falling else [-2, -1, 0, 0, 1, 2])
            if falls and at_ms >= fall_ms + MINUTE_MS:
                step += chance.choice([0, 2, 4])
            price = max(500, price + step)
            quantity = chance.randint(1, 60) * (30 if falling else 1)
            trades.append(MadeTrade(at_ms, trade_id, price, quantity, step < 0))
            gap_ms = 1_500 if falling else _MEAN_GAP_MS[symbol]
            at_ms += chance.choice([0, chance.randint(1, 2 * gap_ms), chance.randint(1, 2 * gap_ms)])
            trade_id += 1
        self.trades[symbol] = trades
        self._bars[symbol] = bars
        times = [trade.at_ms for trade in trades]
        for minute_ms in range(begin_ms, self.end_ms, MINUTE_MS):
            inside = trades[bisect_left(times, minute_ms) : bisect_left(times, minute_ms + MINUTE_MS)]
            before = bars[minute_ms - MINUTE_MS].close
            rows = [(trade.price, trade.quantity) for trade in inside]
            bars[minute_ms] = _bar(rows) if rows else Bar(before, before, before, before, 0, 0, 0)

    def bar(self, symbol: str, minute_ms: int) -> Bar | None:
        return self._bars[symbol].get(minute_ms)

    def kline(
        self, symbol: str, timeframe: Timeframe, open_time_ms: int, *, opens_at_previous_close: bool = False
    ) -> list[object] | None:
        """A row of GET /api/v3/klines; None before the history. Longer ones from the minutes that there are.

        opens_at_previous_close: the rule of venues whose open is the close before, within high and low.
        """
        key = (symbol, timeframe, open_time_ms, opens_at_previous_close)
        if key not in self._klines:
            before = self.bar(symbol, open_time_ms - MINUTE_MS) if opens_at_previous_close else None
            self._klines[key] = _kline(self, symbol, timeframe, open_time_ms, before)
        return self._klines[key]

    def up_to(self, symbol: str, time_ms: int) -> list[MadeTrade]:
        trades = self.trades[symbol]
        return trades[: bisect_left(trades, (time_ms + 1,))]


@lru_cache(maxsize=64)
def market_of(seed: int, minutes: int) -> Market:
    """Made once per process."""
    return Market(seed, minutes)


def _bar(rows: list[tuple[int, int]]) -> Bar:
    prices = [price for price, _ in rows]
    volume, turnover = sum(quantity for _, quantity in rows), sum(price * quantity for price, quantity in rows)
    return Bar(prices[0], max(prices), min(prices), prices[-1], volume, turnover, len(rows))


def _kline(
    market: Market, symbol: str, timeframe: Timeframe, open_time_ms: int, before: Bar | None
) -> list[object] | None:
    end_ms = open_time_ms + timeframe.duration_ms
    found = [market.bar(symbol, minute_ms) for minute_ms in range(open_time_ms, end_ms, MINUTE_MS)]
    bars = [bar for bar in found if bar is not None]
    if not bars:
        return None
    traded = [bar for bar in bars if bar.count] or bars
    volume = Decimal(sum(bar.volume for bar in bars)) / 1_000
    turnover = Decimal(sum(bar.turnover for bar in bars)) / 100_000
    prices = (traded[0].open, max(b.high for b in traded), min(b.low for b in traded), bars[-1].close)
    if before is not None:
        prices = (before.close, max(prices[1], before.close), min(prices[2], before.close), prices[3])
    texts = [price_text(price) for price in prices]
    count = sum(bar.count for bar in bars)
    return [open_time_ms, *texts, f"{volume:.3f}", end_ms - 1, f"{turnover:.5f}", count, "0", "0", "0"]


def price_text(price: int) -> str:
    return f"{price // 100}.{price % 100:02d}"


def quantity_text(quantity: int) -> str:
    return f"{quantity // 1_000}.{quantity % 1_000:03d}"
