"""Late trades: a fault in which the venue publishes a trade whose time lies in a minute that has closed."""

from collections.abc import Callable

import msgspec
import numpy as np

from services.simulator.core.bars import Bars, interval_start
from services.simulator.core.day_plan import IntArray
from services.simulator.core.minute_trades import MINUTE_MS, SEQUENCES_PER_MS, MinuteTrades
from services.simulator.core.randomness import digest

_MINUTES_SEARCHED = 10
_BEYOND_EXTREME = 0.0003


class LateTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade that is known to the venue from published_at_ms on, though it was matched at at_ms."""

    symbol: str
    minute: int
    at_ms: int
    ticks: int
    steps: int
    is_buy: bool
    sequence: int
    trade_id: str
    published_at_ms: int


def make_late_trade(
    symbol: str, now_ms: int, delay_ms: int, trades_of: Callable[[str, int], MinuteTrades], ordinal: int
) -> LateTrade | None:
    """A late trade at about now - delay_ms, in a minute that is over and traded at least twice at distinct times.

    Its price lies beyond the minute's high, so that a correction shows; its time lies between two trades of the
    minute, so that open and close stand. None when ten minutes back no minute qualifies.
    """
    latest = min((now_ms - delay_ms) // MINUTE_MS, now_ms // MINUTE_MS - 1)
    for minute in range(latest, latest - _MINUTES_SEARCHED, -1):
        trades = trades_of(symbol, minute)
        free = _free_place(trades, now_ms - delay_ms) if trades.at_ms.size else None
        if free is None:
            continue
        wanted, sequence = free
        high = int(trades.ticks.max())
        raw = digest(ordinal, symbol, "late", minute, wanted).hex()
        return LateTrade(
            symbol=symbol,
            minute=minute,
            at_ms=wanted,
            ticks=high + max(2, round(high * _BEYOND_EXTREME)),
            steps=max(1, int(trades.steps.sum()) // 10),
            is_buy=True,
            sequence=sequence,
            trade_id=f"{raw[:8]}-{raw[8:12]}-5{raw[13:16]}-a{raw[17:20]}-{raw[20:32]}",
            published_at_ms=now_ms,
        )
    return None


def _free_place(trades: MinuteTrades, wanted_ms: int) -> tuple[int, int] | None:
    """Time and sequence nearest below the wanted time, strictly between first and last trade, that no trade has.

    None where no millisecond lies between the two: a late trade there would be the minute's last, and move its close.
    """
    first_ms, last_ms = int(trades.at_ms[0]), int(trades.at_ms[-1])
    taken = set(trades.sequence.tolist())
    latest = min(max(first_ms + 1, wanted_ms), last_ms - 1)
    for at_ms in range(latest, first_ms, -1):
        for sequence in range(at_ms * SEQUENCES_PER_MS + 1, (at_ms + 1) * SEQUENCES_PER_MS):
            if sequence not in taken:
                return at_ms, sequence
    return None


class LateBook:
    """Late trades published so far; they belong to trades and klines asked for afterwards."""

    def __init__(self) -> None:
        self._by_minute: dict[tuple[str, int], list[LateTrade]] = {}
        self._by_symbol: dict[str, list[LateTrade]] = {}

    def add(self, trade: LateTrade) -> None:
        """Makes a late trade part of the market."""
        self._by_minute.setdefault((trade.symbol, trade.minute), []).append(trade)
        self._by_symbol.setdefault(trade.symbol, []).append(trade)

    def merged(self, symbol: str, trades: MinuteTrades) -> MinuteTrades:
        """The minute's trades with the late ones in their place by (time, sequence)."""
        late = self._by_minute.get((symbol, trades.minute))
        if not late:
            return trades
        order = np.lexsort(
            (
                np.append(trades.sequence, [t.sequence for t in late]),
                np.append(trades.at_ms, [t.at_ms for t in late]),
            )
        )
        ids = [*trades.trade_ids, *(t.trade_id for t in late)]

        def column(own: IntArray, added: list[int]) -> IntArray:
            return np.asarray(np.append(own, added)[order], dtype=np.int64)

        return MinuteTrades(
            minute=trades.minute,
            at_ms=column(trades.at_ms, [t.at_ms for t in late]),
            ticks=column(trades.ticks, [t.ticks for t in late]),
            steps=column(trades.steps, [t.steps for t in late]),
            is_buy=np.append(trades.is_buy, [t.is_buy for t in late])[order].astype(np.bool_),
            direction=column(trades.direction, [0 for _ in late]),
            sequence=column(trades.sequence, [t.sequence for t in late]),
            trade_ids=[ids[i] for i in order],
        )

    def applied(self, symbol: str, bars: Bars, interval: str) -> Bars:
        """The bars with late trades folded in; open and close stand, because a late trade is never a minute's last."""
        late = self._by_symbol.get(symbol)
        if not late or bars.size == 0:
            return bars
        starts = {int(start): row for row, start in enumerate(bars.start_minute)}
        high, low = bars.high.copy(), bars.low.copy()
        volume, turnover = bars.volume.copy(), bars.turnover.copy()
        for trade in late:
            row = starts.get(interval_start(trade.minute, interval))
            if row is None:
                continue
            high[row] = max(int(high[row]), trade.ticks)
            low[row] = min(int(low[row]), trade.ticks)
            volume[row] += trade.steps
            turnover[row] += trade.steps * trade.ticks
        return msgspec.structs.replace(bars, high=high, low=low, volume=volume, turnover=turnover)
