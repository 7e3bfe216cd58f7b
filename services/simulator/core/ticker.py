"""The ticker topic: one snapshot at subscription, then deltas with the fields that changed."""

from typing import Any

import msgspec

from services.simulator.core.day_plan import DAY_MINUTES
from services.simulator.core.instruments import Instrument, plain
from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS, SEQUENCES_PER_MS, TICK_DIRECTIONS
from services.simulator.core.randomness import digest

_FUNDING_MS = 8 * 60 * 60 * 1000


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Rolling 24 hours up to the end of the last minute, in ticks and steps."""

    minute: int
    high: int
    low: int
    before_day: int
    before_hour: int
    volume: int
    turnover: int


def day_figures(market: Market, symbol: str, now_ms: int) -> DayFigures:
    """Figures of the 1,440 minutes before the current one; on a tape, of those that it has."""
    minute = now_ms // MINUTE_MS
    first = max(minute - DAY_MINUTES, min(market.first_minute, minute))
    bars = market.quick_bars(symbol, first, minute)
    return DayFigures(
        minute=minute,
        high=int(bars.high.max()),
        low=int(bars.low.min()),
        before_day=int(bars.open[0]),
        before_hour=int(bars.open[max(0, bars.size - 61)]),
        volume=int(bars.volume[:-1].sum()),
        turnover=int(bars.turnover[:-1].sum()),
    )


class Ticker:
    """The state of one symbol's ticker; `advance` returns what changed."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._fields: dict[str, str] = {}
        self._figures: DayFigures | None = None

    def snapshot(self, market: Market, now_ms: int) -> dict[str, Any]:
        """A full frame as of now; what others get next does not change."""
        fields = self._fields_at(market, now_ms)
        return self._frame("snapshot", {"symbol": self._instrument.symbol, **fields}, now_ms)

    def advance(self, market: Market, now_ms: int) -> dict[str, Any]:
        """A delta frame with the fields that changed since the last call; the sizes always do."""
        fields = self._fields_at(market, now_ms)
        changed = {name: value for name, value in fields.items() if self._fields.get(name) != value}
        # Bybit repeats price and size of a side together.
        for side in ("bid1", "ask1"):
            if f"{side}Price" in changed or f"{side}Size" in changed:
                changed |= {f"{side}Price": fields[f"{side}Price"], f"{side}Size": fields[f"{side}Size"]}
        self._fields = fields
        return self._frame("delta", {"symbol": self._instrument.symbol, **changed}, now_ms)

    def _frame(self, kind: str, data: dict[str, str], now_ms: int) -> dict[str, Any]:
        return {
            "topic": f"tickers.{self._instrument.symbol}",
            "type": kind,
            "data": data,
            "cs": now_ms * SEQUENCES_PER_MS,
            "ts": now_ms,
        }

    def _fields_at(self, market: Market, now_ms: int) -> dict[str, str]:
        if self._figures is None or self._figures.minute != now_ms // MINUTE_MS:
            self._figures = day_figures(market, self._instrument.symbol, now_ms)
        ticks, is_buy, direction = market.last_price(self._instrument.symbol, now_ms)
        figures, price = self._figures, self._instrument.price_text
        noise = digest(0, self._instrument.symbol, "book", now_ms)
        usual = self._instrument.notional_per_minute / self._instrument.price / self._instrument.step / 10
        sizes = [self._instrument.quantity_text(1 + int(usual * byte / 128)) for byte in noise[:2]]
        interest = self._open_interest(now_ms)
        interest_value = plain(interest * ticks * self._instrument.tick_scaled // 10**self._instrument.price_scale, 0)
        half_value = plain(interest * ticks * self._instrument.tick_scaled // 10**self._instrument.price_scale // 2, 0)
        change_ppm = (ticks - figures.before_day) * 1_000_000 // figures.before_day
        mark = max(1, ticks + noise[2] % 3 - 1)
        return {
            "tickDirection": TICK_DIRECTIONS[direction],
            "price24hPcnt": plain(change_ppm, 6),
            "lastPrice": price(ticks),
            "prevPrice24h": price(figures.before_day),
            "highPrice24h": price(max(figures.high, ticks)),
            "lowPrice24h": price(min(figures.low, ticks)),
            "prevPrice1h": price(figures.before_hour),
            "markPrice": price(mark),
            "indexPrice": price(max(1, mark + noise[3] % 3 - 1)),
            "openInterest": str(interest),
            "openInterestValue": f"{interest_value}.00",
            "turnover24h": self._instrument.turnover_text(figures.turnover),
            "volume24h": self._instrument.quantity_text(figures.volume),
            "fundingIntervalHour": "8",
            "fundingCap": "0.005",
            "singleOpenInterest": str(interest // 2),
            "singleOpenInterestValue": f"{half_value}.00",
            "nextFundingTime": str((now_ms // _FUNDING_MS + 1) * _FUNDING_MS),
            "fundingRate": "0.0001",
            "bid1Price": price(max(1, ticks - 1) if is_buy else ticks),
            "bid1Size": sizes[0],
            "ask1Price": price(ticks if is_buy else ticks + 1),
            "ask1Size": sizes[1],
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def _open_interest(self, now_ms: int) -> int:
        """Base units; moves once a minute."""
        usual = self._instrument.notional_per_minute * 1_000 / self._instrument.price
        return max(2, int(usual * (1 + digest(0, self._instrument.symbol, "oi", now_ms // MINUTE_MS)[0] / 2_560)))
