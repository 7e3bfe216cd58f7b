"""The market as it stands at a moment: trades up to now, klines with the forming bar, late trades included."""

from collections.abc import Iterator

import msgspec
import numpy as np

from services.simulator.core.bars import INTERVAL_MINUTES, Bars, interval_start, joined, rolled_up, rows
from services.simulator.core.day_plan import DAY_MINUTES, IntArray
from services.simulator.core.instruments import Instrument
from services.simulator.core.late_trades import LateBook
from services.simulator.core.minute_trades import MINUTE_MS, MinuteTrades
from services.simulator.core.source import TradeSource

_LOOK_BACK_MINUTES = 24 * 60
_PIECE_MINUTES = 240


class Market:
    """Answers what a venue could answer at `now_ms`; never reads a clock."""

    def __init__(self, source: TradeSource) -> None:
        self._source = source
        self.late = LateBook()

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Every symbol there is."""
        return self._source.instruments

    @property
    def first_minute(self) -> int:
        """No kline begins before this minute."""
        return self._source.first_minute

    def numbers(self, symbol: str) -> IntArray | None:
        """The ids of the symbol's trades, where they rise with time (a recorded tape); late trades are not among them."""
        return self._source.numbers(symbol)

    def numbered(self, symbol: str, now_ms: int, from_id: int | None, limit: int | None) -> MinuteTrades:
        """Trades up to now from an id on, or the newest; at most `limit`. Only of a symbol that has numbers."""
        numbers = self._source.numbers(symbol)
        if numbers is None:
            raise ValueError(f"the trades of this symbol have no numbers (symbol={symbol})")
        end = self._source.row_after(symbol, now_ms)
        first = max(0, end - (limit or end)) if from_id is None else int(np.searchsorted(numbers, from_id))
        return self._source.rows(symbol, first, end if limit is None else min(end, first + limit))

    def trades_of(self, symbol: str, minute: int) -> MinuteTrades:
        """All trades of a minute, the late ones included, whether or not they happened yet."""
        return self.late.merged(symbol, self._source.trades(symbol, minute))

    def trades_between(self, symbol: str, after_ms: int, until_ms: int) -> Iterator[MinuteTrades]:
        """Trades with after_ms < T <= until_ms, by minute, oldest first; minutes without any are left out."""
        for minute in range((after_ms + 1) // MINUTE_MS, until_ms // MINUTE_MS + 1):
            trades = self.trades_of(symbol, minute)
            first, last = np.searchsorted(trades.at_ms, [after_ms, until_ms], side="right")
            if first < last:
                yield part_of(trades, int(first), int(last))

    def recent(self, symbol: str, now_ms: int, limit: int) -> list[tuple[MinuteTrades, int]]:
        """The newest trades up to now as (minute, row), newest first; looks one day back at most."""
        found: list[tuple[MinuteTrades, int]] = []
        minute = now_ms // MINUTE_MS
        for back in range(_LOOK_BACK_MINUTES):
            trades = self.trades_of(symbol, minute - back)
            count = int(np.searchsorted(trades.at_ms, now_ms, side="right"))
            found.extend((trades, row) for row in range(count - 1, -1, -1)[: limit - len(found)])
            if len(found) >= limit:
                break
        return found

    def forming_minute(self, symbol: str, now_ms: int) -> Bars:
        """The one-minute bar that holds now, folded from its trades so far."""
        minute = now_ms // MINUTE_MS
        trades = self.trades_of(symbol, minute)
        count = int(np.searchsorted(trades.at_ms, now_ms, side="right"))
        opened = int(self._source.minute_bars(symbol, minute, minute, exact_turnover=False).open[0])
        ticks, steps = trades.ticks[:count], trades.steps[:count]
        prices = np.concatenate([[opened], ticks])
        return Bars(
            start_minute=np.array([minute]),
            open=np.array([opened]),
            high=np.array([prices.max()]),
            low=np.array([prices.min()]),
            close=np.array([prices[-1]]),
            volume=np.array([steps.sum()]),
            turnover=np.array([np.dot(ticks, steps)]),
        )

    def last_price(self, symbol: str, now_ms: int) -> tuple[int, bool, int]:
        """Ticks, whether the taker bought, and tick direction of the last trade, as far as this minute has one."""
        minute = now_ms // MINUTE_MS
        trades = self._source.trades(symbol, minute)
        count = int(np.searchsorted(trades.at_ms, now_ms, side="right"))
        if count:
            return int(trades.ticks[count - 1]), bool(trades.is_buy[count - 1]), int(trades.direction[count - 1])
        return int(self._source.minute_bars(symbol, minute, minute, exact_turnover=False).open[0]), True, 1

    def quick_bars(self, symbol: str, first_minute: int, last_minute: int) -> Bars:
        """Minute bars over midnight without late trades and without regard to now, for rolling figures."""
        parts = []
        for day in range(first_minute // DAY_MINUTES, last_minute // DAY_MINUTES + 1):
            begin = max(first_minute, day * DAY_MINUTES)
            end = min(last_minute, day * DAY_MINUTES + DAY_MINUTES - 1)
            parts.append(self._source.minute_bars(symbol, begin, end, exact_turnover=False))
        return joined(parts)

    def kline_pieces(
        self, symbol: str, interval: str, first_minute: int, last_minute: int, now_ms: int
    ) -> Iterator[Bars]:
        """Bars of at most one day each that cover the range up to now; join and roll up to get the interval's.

        In pieces, so that a caller can let other work run between them: a year costs half a second.
        """
        now_minute = now_ms // MINUTE_MS
        last = min(last_minute, now_minute)
        first = max(interval_start(first_minute, interval), self.first_minute)
        within = interval if INTERVAL_MINUTES[interval] < DAY_MINUTES else "D"
        piece = _PIECE_MINUTES if INTERVAL_MINUTES[interval] <= _PIECE_MINUTES else DAY_MINUTES
        for number in range(first // piece, last // piece + 1):
            begin, end = max(first, number * piece), min(last, number * piece + piece - 1)
            if within == "D" and end - begin == DAY_MINUTES - 1 and end < now_minute:
                bars = self._source.day_bar(symbol, number)
            else:
                bars = rolled_up(self._minutes(symbol, begin, end, now_ms), within)
            yield self.late.applied(symbol, bars, within)

    def klines(self, symbol: str, interval: str, first_minute: int, last_minute: int, now_ms: int) -> Bars:
        """Bars of the interval that begin in the range, the forming one included, oldest first."""
        return rolled_up(joined(list(self.kline_pieces(symbol, interval, first_minute, last_minute, now_ms))), interval)

    def _minutes(self, symbol: str, first: int, last: int, now_ms: int) -> Bars:
        """Minute bars of one day without late trades; the minute of now is folded up to now."""
        bars = self._source.minute_bars(symbol, first, last)
        if last < now_ms // MINUTE_MS:
            return bars
        forming = self.forming_minute(symbol, now_ms)
        return joined([rows(bars, slice(0, bars.size - 1)), forming])


def part_of(trades: MinuteTrades, first: int, last: int) -> MinuteTrades:
    """Rows first .. last - 1 of a minute's trades."""
    names = [name for name in MinuteTrades.__struct_fields__ if name != "minute"]
    return msgspec.structs.replace(trades, **{name: getattr(trades, name)[first:last] for name in names})
